// Markdown inside a paragraph: code, emphasis, links, escapes and entities. An image is a link to it: nothing is loaded.

import { el, escapeControls } from "./dom.js";
import { decodeEntities, parseEntity } from "./entities.js";

const MAX_CHARACTERS = 20_000; // longer paragraphs stay plain text, which bounds the time for any input
const MAX_DEPTH = 6;
const MAX_LABEL_CHARACTERS = 1000; // of a link
const SPECIAL = /[\\`*_~[&]|!\[|https?:\/\//g;
const TARGET = /\(<?((?:[^()\s<>]|\([^()\s<>]{0,500}\)){1,2000})>?(?:\s+(?:"[^"\n]{0,500}"|'[^'\n]{0,500}'))?\)/y;
const LINK_INSIDE = /(?:^|[^!\\])\[[^[\]]*\]\(/; // an image may stand in a link's label, another link may not
const BARE_LINK = /https?:\/\/[^\s<>"'`\]}，。；：！？、（）「」『』《》【】“”]{1,2000}/y;
// Marks, longest first, and the elements that they open, from the outside in.
const EMPHASIS = [
  ["***", ["em", "strong"]],
  ["___", ["em", "strong"]],
  ["**", ["strong"]],
  ["__", ["strong"]],
  ["~~", ["del"]],
  ["*", ["em"]],
  ["_", ["em"]],
];
const SAFE_PROTOCOLS = ["http:", "https:", "mailto:"];

/** Appends the text to `parent`, and returns `parent`. In the label of a link, there are no links. */
export function renderInline(parent, text, depth = 0, isLabel = false) {
  if (text.length > MAX_CHARACTERS || depth > MAX_DEPTH) {
    parent.append(escapeControls(text));
    return parent;
  }
  const unclosed = new Set(); // marks without a closing mark in the remaining text, so that each is searched for once
  let plainStart = 0;
  for (let i = 0; (i = findSpecial(text, i)) < text.length; ) {
    const span =
      parseEscape(text, i) ??
      parseCharacter(text, i) ??
      parseCode(text, i, unclosed) ??
      parseEmphasis(text, i, unclosed, depth, isLabel) ??
      parseLink(text, i, depth, isLabel);
    if (!span) {
      i += 1;
      continue;
    }
    parent.append(escapeControls(text.slice(plainStart, i)), span.node);
    i = plainStart = span.end;
  }
  parent.append(escapeControls(text.slice(plainStart)));
  return parent;
}

function findSpecial(text, start) {
  SPECIAL.lastIndex = start;
  return SPECIAL.exec(text)?.index ?? text.length;
}

// Each parser returns {node, end} for the span that begins at `i`, or null.

function parseEscape(text, i) {
  if (text[i] !== "\\" || !/[!-/:-@[-`{-~]/.test(text[i + 1] ?? "")) return null;
  return { node: text[i + 1], end: i + 2 };
}

function parseCharacter(text, i) {
  const entity = text[i] === "&" ? parseEntity(text, i) : null;
  return entity && { node: escapeControls(entity.text), end: entity.end };
}

function parseCode(text, i, unclosed) {
  if (text[i] !== "`") return null;
  let start = i;
  while (text[start] === "`") start += 1;
  const mark = text.slice(i, start);
  const close = unclosed.has(mark) ? -1 : text.indexOf(mark, start);
  if (close < 0) {
    unclosed.add(mark);
    return { node: mark, end: start };
  }
  return { node: el("code", {}, escapeControls(text.slice(start, close).replace(/^ (.+) $/, "$1"))), end: close + mark.length };
}

function parseEmphasis(text, i, unclosed, depth, isLabel) {
  if (text[i] === "_" && isLetter(text[i - 1])) return null; // no emphasis inside words, such as snake_case
  const runEnd = findRunEnd(text, i);
  let best = null; // of `***a** b*`, the mark that closes last is the outer one
  for (const [mark, tags] of EMPHASIS) {
    const isHalf = mark.length === 1 && runEnd - i === 2;
    if (isHalf || !text.startsWith(mark, i) || unclosed.has(mark) || /\s|^$/.test(text[runEnd] ?? "")) continue;
    const close = findClosingMark(text, runEnd, mark);
    if (close < 0) unclosed.add(mark);
    else if (!best || (best.mark.length < 3 && close > best.close)) best = { mark, tags, close };
  }
  if (!best) return null;
  const elements = best.tags.map((tag) => el(tag));
  elements.reduce((outer, inner) => (outer.append(inner), inner));
  renderInline(elements.at(-1), text.slice(i + best.mark.length, best.close), depth + 1, isLabel);
  return { node: elements[0], end: best.close + best.mark.length };
}

/** The index of the mark that closes an emphasis whose text begins at `start`, or -1. */
function findClosingMark(text, start, mark) {
  for (let run = start; (run = text.indexOf(mark, run + 1)) > 0; ) {
    const end = findRunEnd(text, run);
    const isWordInside = mark[0] === "_" && isLetter(text[end]);
    const isOtherMark = mark.length === 1 && end - run === 2; // a double mark
    if (!/\s/.test(text[run - 1]) && !isWordInside && !isOtherMark) return end - mark.length;
    run = end - 1;
  }
  return -1;
}

/** The end of the run of equal characters that begins at `i`. */
function findRunEnd(text, i) {
  let end = i;
  while (text[end] === text[i]) end += 1;
  return end;
}

function parseLink(text, i, depth, isLabel) {
  if (text[i] === "[" || text[i] === "!") return parseLabeledLink(text, i, depth, isLabel);
  if (isLabel || text[i] !== "h" || /\w/.test(text[i - 1] ?? "")) return null;
  BARE_LINK.lastIndex = i;
  const url = trimUrl(BARE_LINK.exec(text)?.[0] ?? "");
  const href = url && checkUrl(url);
  return href ? { node: buildLink(href, escapeControls(url)), end: i + url.length } : null;
}

/** `[label](url)`, or an image, `![label](url)`. */
function parseLabeledLink(text, i, depth, isLabel) {
  const isImage = text[i] === "!";
  if (isLabel && !isImage) return null;
  const start = isImage ? i + 2 : i + 1;
  const close = findClosingBracket(text, start);
  if (close < 0) return null;
  const label = text.slice(start, close);
  TARGET.lastIndex = close + 1;
  const match = TARGET.exec(text);
  const end = TARGET.lastIndex;
  const href = match && checkUrl(decodeEntities(match[1]));
  if (isLabel) return match && { node: escapeControls(label || match[1]), end };
  if (!href || !(label || isImage) || LINK_INSIDE.test(label)) return null;
  return { node: renderInline(buildLink(href), label || href, depth + 1, true), end };
}

/** The index of the bracket that closes a label, which may have brackets of its own, or -1. */
function findClosingBracket(text, start) {
  let open = 1;
  for (let i = start; i < text.length && i < start + MAX_LABEL_CHARACTERS && text[i] !== "\n"; i += 1) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === "[") open += 1;
    else if (text[i] === "]" && (open -= 1) === 0) return i;
  }
  return -1;
}

/** A URL in running text, without the punctuation after it; a closing parenthesis stays if the URL has the opening one. */
function trimUrl(url) {
  const count = (character) => url.split(character).length - 1;
  let closing = count(")") - count("(");
  let end = url.length;
  while (/[.,:;!?*_~]/.test(url[end - 1] ?? "") || (url[end - 1] === ")" && closing > 0)) {
    end -= 1;
    if (url[end] === ")") closing -= 1;
  }
  return url.slice(0, end);
}

const isLetter = (character = "") => /[\p{L}\p{N}]/u.test(character);

/** The URL if it is absolute and has a safe protocol, or null. */
function checkUrl(url) {
  try {
    const { protocol, href } = new URL(url);
    return SAFE_PROTOCOLS.includes(protocol) ? href : null;
  } catch {
    return null;
  }
}

function buildLink(href, ...children) {
  return el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
