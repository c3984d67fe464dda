// Markdown to DOM nodes. The text comes from a model and may be hostile: it only ever becomes text nodes and the elements of
// markdown_tree.js, links are http(s) or mailto, and nesting is bounded.

import { parser } from "./markdown_parser.js";
import { buildTree } from "./markdown_tree.js";
import { updateChildren } from "./virtual_nodes.js";

// Lines at the end that later ones may still change: the last line may be incomplete, and the one before may be the head of a table.
const UNSETTLED_LINES = 2;

export class MarkdownView {
  constructor(container) {
    this.container = container;
    this.nodes = []; // the virtual nodes that the container shows
    this.#forget();
  }

  /** A growing text is parsed again from its last blocks on, and nodes that show the same stay. */
  show(source) {
    const text = source.replace(/\r\n?/g, "\n");
    if (!text.startsWith(this.settled)) this.#forget();
    let env = {};
    let tree = buildTree(parser.parse(text.slice(this.settled.length), env), this.settledOutline);
    if (hasDefinitions(env) && this.settled) {
      this.#forget(); // they may change blocks before them
      env = {};
      tree = buildTree(parser.parse(text, env));
    }
    const nodes = [...this.settledNodes, ...tree.nodes];
    updateChildren(this.container, this.nodes, nodes);
    this.nodes = nodes;
    if (!hasDefinitions(env)) this.#settle(text, tree);
  }

  #forget() {
    this.settled = ""; // the beginning of the text whose nodes do not change any more
    this.settledNodes = [];
    this.settledOutline = [];
  }

  /** Settles all blocks before the last one that begins after a blank line and above the unsettled lines. */
  #settle(text, { nodes, lines, outlines }) {
    const starts = findLineStarts(text, this.settled.length);
    const isBlank = (line) => !text.slice(starts[line], starts[line + 1]).trim();
    const last = lines.findLastIndex((line) => line > 0 && line < starts.length - UNSETTLED_LINES && isBlank(line - 1));
    if (last <= 0) return;
    this.settled = text.slice(0, starts[lines[last]]);
    this.settledNodes = [...this.settledNodes, ...nodes.slice(0, last)];
    this.settledOutline = outlines[last - 1];
  }
}

/** Link definitions and footnotes. */
const hasDefinitions = (env) => Boolean(env.footnotes) || Object.keys(env.references ?? {}).length > 0;

/** The indices in `text` at which its lines begin, from the line that begins at `start` on. */
function findLineStarts(text, start) {
  const starts = [start];
  for (let i = text.indexOf("\n", start); i >= 0; i = text.indexOf("\n", i + 1)) starts.push(i + 1);
  return starts;
}
