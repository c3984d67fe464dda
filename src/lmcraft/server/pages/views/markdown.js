// Markdown to DOM nodes. The text comes from a model and may be hostile: HTML stays text, links are http(s) or mailto,
// nesting is bounded, and the time is close to linear in the length of the text.

import { buildCodeBlock } from "./code_block.js";
import { el, escapeControls } from "./dom.js";
import { renderInline } from "./markdown_inline.js";

const MAX_DEPTH = 8;
const CODE_INDENT = 4; // columns

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^`\s]{0,40})[^`]*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(\s+)(?=\S)/;
const TABLE_RULE = /^ {0,3}\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)+\|?\s*$/;

/** Shows `text` in `container`. Unchanged blocks keep their nodes, so that a growing answer only redraws its last block. */
export function renderMarkdown(container, text) {
  const blocks = parseBlocks(text.replace(/\r\n?/g, "\n").split("\n"));
  const drawn = container.blocks ?? [];
  let unchanged = 0;
  while (unchanged < drawn.length && unchanged < blocks.length && drawn[unchanged] === blocks[unchanged].source) unchanged += 1;
  while (container.childNodes.length > unchanged) container.lastChild.remove();
  for (const block of blocks.slice(unchanged)) container.append(renderBlock(block, 0));
  container.blocks = blocks.map(({ source }) => source);
}

/** The top-level blocks: {kind, source, end, ...}. */
function parseBlocks(lines) {
  const blocks = [];
  for (let i = 0; i < lines.length; ) {
    const start = i;
    const block = lines[i].trim() ? parseBlock(lines, i) : null;
    i = block ? block.end : i + 1;
    if (block) blocks.push({ ...block, source: `${block.kind}\n${lines.slice(start, i).join("\n")}` });
  }
  return blocks;
}

function parseBlock(lines, i) {
  const line = lines[i];
  let match;
  if (isIndentedCode(line)) return parseIndentedCode(lines, i);
  if ((match = FENCE.exec(line))) return parseFence(lines, i, match);
  if ((match = HEADING.exec(line))) return { kind: "heading", level: match[1].length, text: match[2], end: i + 1 };
  if (RULE.test(line)) return { kind: "rule", end: i + 1 };
  if (QUOTE.test(line)) {
    const end = findRunEnd(lines, i, (text) => QUOTE.test(text));
    return { kind: "quote", lines: lines.slice(i, end).map((text) => text.replace(QUOTE, "")), end };
  }
  if ((match = ITEM.exec(line))) return parseList(lines, i, match[1].length);
  if (line.includes("|") && TABLE_RULE.test(lines[i + 1] ?? "")) {
    const end = findRunEnd(lines, i, (text) => text.includes("|"));
    return { kind: "table", lines: lines.slice(i, end), end };
  }
  const end = findRunEnd(lines, i + 1, (text) => text.trim() && !startsBlock(text));
  return { kind: "paragraph", text: lines.slice(i, end).join("\n"), end };
}

const startsBlock = (line) => !isIndentedCode(line) && [FENCE, HEADING, QUOTE, RULE, ITEM].some((pattern) => pattern.test(line));

const isIndentedCode = (line) => countIndent(line) >= CODE_INDENT;

function parseIndentedCode(lines, i) {
  let end = findRunEnd(lines, i, (line) => !line.trim() || isIndentedCode(line));
  while (!lines[end - 1].trim()) end -= 1;
  const text = lines.slice(i, end).map((line) => removeIndent(line, CODE_INDENT));
  return { kind: "code", language: "", text: text.join("\n"), end };
}

/** The index of the first line from `i` on that does not match. */
function findRunEnd(lines, i, matches) {
  while (i < lines.length && matches(lines[i])) i += 1;
  return i;
}

function parseFence(lines, i, [, indent, fence, language]) {
  const end = findFenceEnd(lines, i, fence);
  const text = lines.slice(i + 1, end).map((line) => removeIndent(line, indent.length));
  return { kind: "code", language, text: text.join("\n"), end: Math.min(end + 1, lines.length) };
}

/** The index of the line that closes the fence of line `i`; an open fence runs to the end of the text. */
function findFenceEnd(lines, i, fence) {
  const closes = (line) => line.trim().startsWith(fence) && !line.trim().replaceAll(fence[0], "");
  let end = i + 1;
  while (end < lines.length && !closes(lines[end])) end += 1;
  return end;
}

/** A list continues across blank lines if the next line is indented or another item. */
function parseList(lines, i, indent) {
  const first = ITEM.exec(lines[i])[2];
  const ordered = /\d/.test(first);
  const items = [];
  let width = 0; // of the indentation of the current item's further lines
  let end = i;
  const push = (line) => items.at(-1).push(removeIndent(line, width));
  for (; end < lines.length; end += 1) {
    const line = lines[end];
    const marker = ITEM.exec(line);
    if (marker && marker[1].length <= indent + 1) {
      if (/\d/.test(marker[2]) !== ordered) break;
      items.push([line.slice(marker[0].length)]);
      width = findItemIndent(lines, end, marker[0].length);
    } else if (countIndent(line) >= 2 && line.trim()) {
      push(line);
    } else if (!line.trim()) {
      const next = lines[end + 1] ?? "";
      if (!(countIndent(next) >= 2 && next.trim()) && !ITEM.test(next)) break;
      push("");
    } else if (!lines[end - 1].trim() || startsBlock(line)) {
      break;
    } else {
      push(line);
    }
    const fence = FENCE.exec(items.at(-1).at(-1));
    if (!fence) continue;
    const close = findFenceEnd(lines, end, fence[2]); // inside a fence, no line begins an item or ends the list
    while (end < Math.min(close, lines.length - 1)) push(lines[(end += 1)]);
  }
  return { kind: "list", ordered, start: parseInt(first, 10), items, end };
}

/** The columns to remove from an item's further lines: those of its marker, or fewer if the next line has fewer. */
function findItemIndent(lines, i, markerWidth) {
  const next = lines.slice(i + 1, i + 3).find((line) => line.trim()) ?? "";
  return countIndent(next) < 2 ? markerWidth : Math.min(markerWidth, countIndent(next));
}

/** The columns of a line's leading spaces and tabs; a tab reaches to the next multiple of four. */
function countIndent(line) {
  let columns = 0;
  for (const character of line) {
    if (character === " ") columns += 1;
    else if (character === "\t") columns += 4 - (columns % 4);
    else break;
  }
  return columns;
}

/** Removes up to `columns` columns of indentation; the rest of the line stays as it is. */
function removeIndent(line, columns) {
  let removed = 0;
  let start = 0;
  while (removed < columns && (line[start] === " " || line[start] === "\t")) {
    removed += line[start] === "\t" ? 4 - (removed % 4) : 1;
    start += 1;
  }
  return " ".repeat(Math.max(0, removed - columns)) + line.slice(start);
}

function renderBlock(block, depth) {
  if (depth > MAX_DEPTH) return el("p", { dir: "auto" }, escapeControls(block.source.slice(block.kind.length + 1)));
  return RENDERERS[block.kind](block, depth);
}

const renderNested = (lines, depth) => parseBlocks(lines).map((block) => renderBlock(block, depth + 1));

const RENDERERS = {
  paragraph: ({ text }) => renderInline(el("p", { dir: "auto" }), text),
  // The page itself uses h1 and h2, so the headings of an answer start at h3.
  heading: ({ level, text }) => renderInline(el(`h${Math.min(level + 2, 6)}`, { dir: "auto", class: `h${level}` }), text),
  rule: () => el("hr"),
  code: ({ language, text }) => buildCodeBlock(language, text),
  quote: ({ lines }, depth) => el("blockquote", { dir: "auto" }, ...renderNested(lines, depth)),
  list: ({ ordered, start, items }, depth) =>
    el(ordered ? "ol" : "ul", { dir: "auto", start: ordered && start !== 1 ? start : null }, ...items.map((lines) => renderItem(lines, depth))),
  table: ({ lines }) => renderTable(lines),
};

function renderItem(lines, depth) {
  const blocks = parseBlocks(lines);
  const node = el("li", { dir: "auto" });
  const isTight = blocks[0]?.kind === "paragraph" && !lines.includes("");
  if (isTight) renderInline(node, blocks.shift().text);
  node.append(...blocks.map((block) => renderBlock(block, depth + 1)));
  return node;
}

/** The cells of a row; `\|` is a bar inside a cell, also in code. */
function splitCells(line) {
  const cells = [];
  for (const piece of line.trim().replace(/^\|/, "").split("|")) {
    if (cells.at(-1)?.endsWith("\\")) cells.push(`${cells.pop().slice(0, -1)}|${piece}`);
    else cells.push(piece);
  }
  if (cells.length > 1 && !cells.at(-1).trim()) cells.pop(); // after the last bar
  return cells.map((cell) => cell.trim());
}

function renderTable([head, , ...rows]) {
  const renderRow = (line, tag) => el("tr", {}, ...splitCells(line).map((cell) => renderInline(el(tag, { dir: "auto" }), cell)));
  const body = rows.map((line) => renderRow(line, "td"));
  return el("div", { class: "wide-table" }, el("table", {}, el("thead", {}, renderRow(head, "th")), el("tbody", {}, ...body)));
}
