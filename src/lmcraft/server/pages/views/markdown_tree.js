// The parser's tokens as a tree of virtual nodes (virtual_nodes.js). HTML stays text, except a few plain tags; an image is a link to it.

import { t } from "../strings.js";
import { codePart } from "./code_block.js";
import { escapeControls } from "./dom.js";
import { parser } from "./markdown_parser.js";
import { mathPart } from "./math.js";
import { scrollToNote, scrollToReference } from "./notes.js";

const LINK_ATTRIBUTES = { target: "_blank", rel: "noopener noreferrer" };
const PLAIN_TAG = /^<(\/?)(b|del|em|i|ins|kbd|mark|s|small|strong|sub|sup|u)>$/i; // drawn if they are closed, and have no attributes
const ALIGNMENTS = { "text-align:left": "align-left", "text-align:center": "align-center", "text-align:right": "align-right" };
const LINE_BREAK = /^<br\s*\/?>$/i;
const TASK = /^\[([ xX])\](?=\s|$)/;

/**
 * The nodes of the top-level blocks, and for each the line in which it begins, and the outline at its end: {nodes, lines, outlines}.
 * An outline has the tags (h1 ... h6) of the headings that the text is under, from the outermost on.
 */
export function buildTree(tokens, outline = []) {
  const root = [];
  const lines = [];
  const outlines = [];
  const builder = new Builder(root, outline);
  for (const token of tokens) {
    const line = token.map?.[0] ?? lines.at(-1) ?? 0;
    builder.add(token);
    while (lines.length < root.length) lines.push(line);
    outlines[root.length - 1] = builder.outline;
  }
  return { nodes: root, lines, outlines };
}

class Builder {
  constructor(children, outline) {
    this.stack = [children]; // the lists of children of the open elements
    this.outline = outline;
    this.linkDepth = 0;
  }

  get children() {
    return this.stack.at(-1);
  }

  add(token) {
    const draw = DRAW[token.type];
    if (draw) draw(this, token);
    else if (token.nesting === 1) this.open(token.tag);
    else if (token.nesting === -1) this.close();
    else this.text(token.content);
  }

  open(tag, attributes = {}) {
    const node = { tag, attributes, children: [] };
    this.children.push(node);
    this.stack.push(node.children);
    return node;
  }

  close() {
    this.stack.pop();
  }

  leaf(tag, attributes = {}, ...children) {
    this.children.push({ tag, attributes, children });
  }

  /** Neighboring texts become one. */
  text(content) {
    const text = escapeControls(content);
    const { children } = this;
    if (!text) return;
    if (typeof children.at(-1) === "string") children.push(children.pop() + text);
    else children.push(text);
  }

  inline(tokens) {
    const plainTags = pairPlainTags(tokens);
    for (const token of tokens) {
      if (!plainTags.has(token)) this.add(token);
      else if (token.content[1] === "/") this.close();
      else this.open(plainTags.get(token));
    }
  }
}

/** The tokens of plain HTML tags that are opened and closed within the same element: token -> tag. */
function pairPlainTags(tokens) {
  const paired = new Map();
  let open = [];
  for (const token of tokens) {
    if (token.nesting === -1) open = open.filter(({ level }) => level <= token.level);
    const match = token.type === "html_inline" && PLAIN_TAG.exec(token.content);
    if (!match) continue;
    const entry = { token, tag: match[2].toLowerCase(), level: token.level };
    const last = open.at(-1);
    if (!match[1]) {
      open.push(entry);
    } else if (last?.tag === entry.tag && last.level === entry.level) {
      for (const end of [last, entry]) paired.set(end.token, entry.tag);
      open.pop();
    }
  }
  return paired;
}

const openBlock = (builder, token) => builder.open(token.tag, { dir: "auto" });

// How a token is drawn, by its type. Others open or close the element that they name, or are text.
const DRAW = {
  inline: (builder, token) => builder.inline(token.children),
  paragraph_open: (builder, token) => (token.hidden ? builder.stack.push(builder.children) : openBlock(builder, token)),
  heading_open: openHeading,
  blockquote_open: openBlock,
  bullet_list_open: openBlock,
  ordered_list_open: (builder, token) => builder.open("ol", { dir: "auto", start: token.attrGet("start") }),
  list_item_open: openBlock,
  list_item_close: (builder) => (builder.close(), markTask(builder.children.at(-1))),
  table_open: (builder) => (builder.open("div", { class: "wide-table", tabindex: "0" }), builder.open("table")),
  table_close: (builder) => (builder.close(), builder.close()),
  th_open: openCell,
  td_open: openCell,
  hr: (builder) => builder.leaf("hr"),
  fence: (builder, { content, info }) => builder.children.push({ part: codePart, text: content, language: readLanguage(info) }),
  code_block: (builder, { content }) => builder.children.push({ part: codePart, text: content, language: "" }),
  code_inline: (builder, { content }) => builder.leaf("code", {}, ...visible(content)),
  html_block: (builder, { content }) => builder.leaf("p", { class: "html", dir: "auto" }, ...visible(content)),
  html_inline: (builder, { content }) => (LINE_BREAK.test(content) ? builder.leaf("br") : builder.leaf("span", { class: "html" }, ...visible(content))),
  softbreak: (builder) => builder.text("\n"),
  hardbreak: (builder) => builder.leaf("br"),
  s_open: (builder) => builder.open("del"),
  link_open: openLink,
  link_close: (builder) => ((builder.linkDepth -= 1), builder.close()),
  image: drawImage,
  math_inline: drawMath,
  math_block: drawMath,
  footnote_block_open: (builder) => (builder.open("section", { class: "notes" }), builder.open("ol")),
  footnote_block_close: (builder) => (builder.close(), builder.close()),
  footnote_open: (builder, { meta }) => builder.open("li", { dir: "auto", tabindex: "-1", "data-note": meta.id + 1 }),
  footnote_ref: (builder, { meta }) => builder.leaf("sup", {}, buildNoteButton(`[${meta.id + 1}]`, "data-note-reference", meta, scrollToNote)),
  footnote_anchor: (builder, { meta }) => builder.children.push(" ", buildNoteButton("↩\ufe0e", "data-note-back", meta, scrollToReference)),
};

const visible = (text) => (text ? [escapeControls(text)] : []);

const readLanguage = (info) => parser.utils.unescapeAll(info).trim().split(/\s/, 1)[0].slice(0, 40);

/** The page itself uses h1 and h2, so the headings of an answer start at h3. No level is left out, for those who read by headings. */
function openHeading(builder, { tag }) {
  builder.outline = [...builder.outline.filter((outer) => outer < tag), tag];
  builder.open(`h${Math.min(builder.outline.length + 2, 6)}`, { dir: "auto", class: tag });
}

function openCell(builder, { tag, attrs }) {
  builder.open(tag, { dir: "auto", class: ALIGNMENTS[attrs?.[0]?.[1]] });
}

function openLink(builder, token) {
  builder.linkDepth += 1;
  builder.open("a", buildLinkAttributes(token.attrGet("href"), token.attrGet("title")));
}

function drawImage(builder, token) {
  const address = token.attrGet("src");
  const label = visible(readAltText(token.children) || address);
  if (builder.linkDepth) builder.leaf("span", { class: "image", title: address }, ...label);
  else builder.leaf("a", { ...buildLinkAttributes(address, token.attrGet("title")), class: "image" }, ...label);
}

/** The title shows where a link leads. */
function buildLinkAttributes(href, title) {
  return { href, title: escapeControls(title ? `${href}\n${title}` : href), ...LINK_ATTRIBUTES };
}

function readAltText(tokens) {
  const isBreak = (type) => type === "softbreak" || type === "hardbreak";
  return tokens.map(({ type, content, children }) => (children?.length ? readAltText(children) : isBreak(type) ? "\n" : content)).join("");
}

function drawMath(builder, { content, meta }) {
  builder.children.push({ part: mathPart, tex: content, ...meta });
}

function buildNoteButton(label, name, { id }, onclick) {
  return { tag: "button", attributes: { type: "button", class: "note-link", [name]: id + 1, onclick }, children: [label] };
}

/** An item that begins with `[ ]` or `[x]` gets a box in place of them. */
function markTask(item) {
  const children = item.children[0]?.tag === "p" ? item.children[0].children : item.children;
  const match = typeof children[0] === "string" && TASK.exec(children[0]);
  if (!match) return;
  const isDone = match[1] !== " ";
  const rest = children[0].slice(match[0].length);
  const box = { tag: "input", attributes: { type: "checkbox", disabled: true, checked: isDone, "aria-label": t(isDone ? "taskDone" : "taskOpen") }, children: [] };
  children.splice(0, 1, box, ...visible(rest));
  item.attributes = { ...item.attributes, class: "task" };
}
