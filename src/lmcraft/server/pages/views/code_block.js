// A block of code with colors and a copy button.

import { t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { el, escapeControls } from "./dom.js";
import { buildIconButton } from "./icons.js";
import { compute } from "./background.js";
import { updateChildren } from "./virtual_nodes.js";

const MAX_COLORED_CHARACTERS = 100_000;
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
    Object.assign(this, { text: "", language: null, nodes: [], spans: [], coloredLength: 0, isColoring: false });
  }

  show({ text, language }) {
    if (language !== this.language) {
      this.language = language;
      this.label.textContent = escapeControls(language || t("code"));
      this.pre.setAttribute("aria-label", this.label.textContent);
    }
    if (language !== this.language || !text.startsWith(this.text.slice(0, this.coloredLength))) this.#setColors([], 0);
    this.text = text.replace(/\n$/, "");
    this.#draw();
    this.#color();
  }

  /** The colored beginning of the code, and the rest. */
  #draw() {
    const rest = escapeControls(this.text.slice(this.coloredLength));
    const last = this.spans.at(-1);
    let nodes = this.spans;
    if (rest) nodes = typeof last === "string" ? [...this.spans.slice(0, -1), last + rest] : [...this.spans, rest];
    updateChildren(this.code, this.nodes, nodes);
    this.nodes = nodes;
  }

  /** Colors the code in the background; when that is done, the code that has come since then. */
  async #color() {
    const { text, language } = this;
    if (this.isColoring || !language || text.length === this.coloredLength || text.length > MAX_COLORED_CHARACTERS) return;
    this.isColoring = true;
    const pieces = await compute("color", { text, language });
    this.isColoring = false;
    if (!pieces) return; // an unknown language, or it took too long
    if (this.language === language && this.text.startsWith(text)) {
      this.#setColors(pieces.map(([kind, piece]) => buildSpan(kind, escapeControls(piece))), text.length);
      this.#draw();
    }
    this.#color();
  }

  #setColors(spans, length) {
    this.spans = spans;
    this.coloredLength = length;
  }
}

const buildSpan = (kind, text) => (kind ? { tag: "span", attributes: { class: kind }, children: [text] } : text);
