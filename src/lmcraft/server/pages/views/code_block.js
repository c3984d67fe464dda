// A block of code with colors and a copy button.

import { t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { el, escapeControls } from "./dom.js";
import { buildIconButton } from "./icons.js";
import { compute } from "./background.js";
import { updateChildren } from "./virtual_nodes.js";

const MAX_COLORED_CHARACTERS = 100_000;
const COLORING_PAUSE_MS = 150;
const LINES_PER_GROUP = 40;
const blocks = new WeakMap(); // figure -> CodeBlock

/** The part {language, text} of virtual_nodes.js. */
export const codePart = {
  create(virtual) {
    const block = new CodeBlock();
    blocks.set(block.node, block);
    block.show(virtual);
    return block.node;
  },
  update: (node, virtual) => blocks.get(node).show(virtual),
};

class CodeBlock {
  constructor() {
    this.label = el("span");
    this.code = el("code");
    this.pre = el("pre", { tabindex: "0", dir: "ltr" }, this.code);
    const button = buildIconButton("copy", t("copyCode"), () => copyText(this.text, button));
    this.node = el("figure", { class: "code" }, el("figcaption", {}, this.label, button), this.pre);
    Object.assign(this, { text: "", language: null, groups: [], pieces: [], coloredLength: 0, isColoring: false });
  }

  show({ text, language }) {
    if (language !== this.language) {
      this.language = language;
      this.label.textContent = escapeControls(language || t("code"));
      this.pre.setAttribute("aria-label", this.label.textContent);
      this.#setPieces([], 0);
    }
    if (!text.startsWith(this.text.slice(0, this.coloredLength))) this.#setPieces([], 0);
    this.text = text.replace(/\n$/, "");
    this.#draw();
    if (!this.isColoring) this.#color();
  }

  /** The colored beginning of the code, and the rest. */
  #draw() {
    const groups = groupLines([...this.pieces, "", escapeControls(this.text.slice(this.coloredLength))], this.groups);
    updateChildren(this.code, this.groups, groups);
    this.groups = groups;
  }

  /** Colors the code in the background, and then, after a while, what has come since. */
  async #color() {
    const { text, language } = this;
    if (!language || language === this.plainLanguage || text.length === this.coloredLength || text.length > MAX_COLORED_CHARACTERS) return;
    this.isColoring = true;
    const pieces = await compute("color", { text, language });
    if (!pieces) {
      this.plainLanguage = language; // unknown, or it took too long
    } else if (this.language === language && this.text.startsWith(text)) {
      this.#setPieces(pieces.map(escapeControls), text.length);
      this.#draw();
    }
    await new Promise((resolve) => setTimeout(resolve, COLORING_PAUSE_MS));
    this.isColoring = false;
    this.#color();
  }

  #setPieces(pieces, length) {
    this.pieces = pieces;
    this.coloredLength = length;
  }
}

/**
 * The virtual nodes of pieces, [class, text, class, text, ...], in groups of lines: a browser lays out only the groups that change.
 * Groups that are as in `old` are those of `old`.
 */
function groupLines(pieces, old) {
  const groups = [];
  let children = [];
  let lineCount = 0;
  const close = () => {
    const previous = old[groups.length];
    const isSame = previous?.children.length === children.length && children.every((child, i) => isSamePiece(child, previous.children[i]));
    groups.push(isSame ? previous : { tag: "span", attributes: { class: "lines" }, children });
    [children, lineCount] = [[], 0];
  };
  for (let i = 0; i < pieces.length; i += 2) {
    for (const line of pieces[i + 1].match(/[^\n]*\n|[^\n]+/g) ?? []) {
      append(children, pieces[i], line);
      if (line.endsWith("\n") && (lineCount += 1) === LINES_PER_GROUP) close();
    }
  }
  if (children.length) close();
  return groups;
}

function append(children, kind, text) {
  const last = children.at(-1);
  if (!kind) children.push(typeof last === "string" ? children.pop() + text : text);
  else if (last?.attributes?.class === kind) children.push(buildSpan(kind, children.pop().children[0] + text));
  else children.push(buildSpan(kind, text));
}

const buildSpan = (kind, text) => ({ tag: "span", attributes: { class: kind }, children: [text] });

const isSamePiece = (a, b) => a === b || (a.tag !== undefined && a.attributes.class === b.attributes?.class && a.children[0] === b.children[0]);
