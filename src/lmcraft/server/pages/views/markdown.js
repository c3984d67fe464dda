// Markdown to DOM nodes. The text is a model's, so it may be hostile: HTML stays text, links are http(s) or mailto,
// nesting is bounded, and every step is close to linear in the text.

import { el, visible } from "./dom.js";
import { codeBlock } from "./code_block.js";
import { inline } from "./markdown_inline.js";

const DEEPEST = 8;

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^`\s]{0,40})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+)(?=\S)/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;

/** Makes `container` show `text`. Blocks that did not change keep their nodes: a growing answer only redraws its last one. */
export function patch(container, text) {
  const blocks = split(text.replace(/\r\n?/g, "\n").split("\n"));
  const shown = container.blocks ?? [];
  let same = 0;
  while (same < shown.length && same < blocks.length && shown[same] === blocks[same].source) same += 1;
  while (container.childNodes.length > same) container.lastChild.remove();
  for (const block of blocks.slice(same)) container.append(draw(block, 0));
  container.blocks = blocks.map(({ source }) => source);
}

/** Top-level blocks: {kind, lines, source, …}. */
function split(lines) {
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    const start = i;
    const block = lines[i].trim() ? blockAt(lines, i) : null;
    i = block ? block.end : i + 1;
    if (block) blocks.push({ ...block, source: `${block.kind}\n${lines.slice(start, i).join("\n")}` });
  }
  return blocks;
}

function blockAt(lines, i) {
  const line = lines[i];
  let found;
  if ((found = FENCE.exec(line))) return fenceAt(lines, i, found);
  if ((found = HEADING.exec(line))) return { kind: "heading", level: found[1].length, text: found[2], end: i + 1 };
  if (RULE.test(line)) return { kind: "rule", end: i + 1 };
  if (QUOTE.test(line)) {
    const end = runOf(lines, i, (one) => QUOTE.test(one));
    return { kind: "quote", lines: lines.slice(i, end).map((one) => one.replace(QUOTE, "")), end };
  }
  if ((found = ITEM.exec(line)) && found[1].length < 4) return listAt(lines, i, found[1].length);
  if (line.includes("|") && TABLE_RULE.test(lines[i + 1] ?? "")) {
    const end = runOf(lines, i, (one) => one.includes("|"));
    return { kind: "table", lines: lines.slice(i, end), end };
  }
  const end = runOf(lines, i + 1, (one) => one.trim() && !startsBlock(one));
  return { kind: "paragraph", text: lines.slice(i, end).join("\n"), end };
}

const startsBlock = (line) => [FENCE, HEADING, QUOTE, RULE, ITEM].some((start) => start.test(line));

function runOf(lines, i, belongs) {
  while (i < lines.length && belongs(lines[i])) i += 1;
  return i;
}

function fenceAt(lines, i, [, fence, language]) {
  const closes = (line) => line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "");
  let end = i + 1;
  while (end < lines.length && !closes(lines[end])) end += 1; // a fence that is still open runs to the end
  return { kind: "code", language, text: lines.slice(i + 1, end).join("\n"), end: Math.min(end + 1, lines.length) };
}

/** A list goes on over blank lines as long as what follows is indented or another item. */
function listAt(lines, i, indent) {
  const first = ITEM.exec(lines[i])[2];
  const ordered = /\d/.test(first);
  const items = [];
  let end = i;
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const marker = ITEM.exec(line);
    if (marker && marker[1].length <= indent + 1) {
      if (/\d/.test(marker[2]) !== ordered) break;
      items.push([line.slice(marker[0].length)]);
    } else if (/^\s{2,}\S/.test(line)) {
      items.at(-1).push(line.replace(/^ {1,4}/, ""));
    } else if (!line.trim()) {
      const next = lines[end + 1] ?? "";
      if (!/^\s{2,}\S/.test(next) && !ITEM.test(next)) break;
      items.at(-1).push("");
    } else if (!lines[end - 1].trim() || startsBlock(line)) {
      break;
    } else {
      items.at(-1).push(line);
    }
  }
  return { kind: "list", ordered, start: parseInt(first, 10), items, end };
}

function draw(block, depth) {
  if (depth > DEEPEST) return el("p", { dir: "auto" }, visible(block.source.slice(block.kind.length + 1)));
  return DRAW[block.kind](block, depth);
}

const drawAll = (lines, depth) => split(lines).map((block) => draw(block, depth + 1));

const DRAW = {
  paragraph: ({ text }) => inline(el("p", { dir: "auto" }), text),
  // The page has h1 and h2 of its own; an answer's headings hang below them.
  heading: ({ level, text }) => inline(el(`h${Math.min(level + 2, 6)}`, { dir: "auto", class: `h${level}` }), text),
  rule: () => el("hr"),
  code: ({ language, text }) => codeBlock(language, text),
  quote: ({ lines }, depth) => el("blockquote", { dir: "auto" }, ...drawAll(lines, depth)),
  list: ({ ordered, start, items }, depth) =>
    el(ordered ? "ol" : "ul", { dir: "auto", start: ordered && start !== 1 ? start : null }, ...items.map((lines) => item(lines, depth))),
  table: ({ lines }) => table(lines),
};

function item(lines, depth) {
  const blocks = split(lines);
  const node = el("li", { dir: "auto" });
  const tight = blocks[0]?.kind === "paragraph" && !lines.includes("");
  if (tight) inline(node, blocks.shift().text);
  node.append(...blocks.map((block) => draw(block, depth + 1)));
  return node;
}

const cells = (line) => line.trim().replace(/^\|/, "").replace(/\|$/, "").split("|").map((cell) => cell.trim());

function table([head, , ...rows]) {
  const row = (line, tag) => el("tr", {}, ...cells(line).map((cell) => inline(el(tag, { dir: "auto" }), cell)));
  const body = rows.map((line) => row(line, "td"));
  return el("div", { class: "wide-table" }, el("table", {}, el("thead", {}, row(head, "th")), el("tbody", {}, ...body)));
}
