// The Markdown parser: markdown-it, with tables, footnotes, mathematics and bare links. It only makes tokens; markdown_tree.js draws them.

import { emphasisNextToCjk, footnotes, MarkdownIt } from "../vendor/markdown_it.js";
import { bareLinks, isSafeUrl } from "./links.js";
import { addMathRules } from "./math_rules.js";

const MAX_NESTING = 40; // of blocks and spans; what is nested more deeply stays text

// HTML becomes tokens of its own, so that it is not read as Markdown; it is drawn as text.
export const parser = new MarkdownIt({ html: true, linkify: true, maxNesting: MAX_NESTING });
parser.linkify = bareLinks;
parser.validateLink = isSafeUrl;
parser.use(footnotes).use(emphasisNextToCjk).use(addMathRules);
