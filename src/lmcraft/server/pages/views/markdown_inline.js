// Markdown inside a paragraph: code, emphasis, links and escapes.

import { el, escapeControls } from "./dom.js";

const MAX_CHARACTERS = 20_000; // longer paragraphs stay plain text, which bounds the time for any input
const MAX_DEPTH = 6;
const SPECIAL = /[\\`*_~[]|https?:\/\//g;
const LINK = /\[([^[\]\n]{1,1000})\]\(<?((?:[^()\s<>]|\([^()\s<>]{0,500}\)){1,2000})>?(?:\s+"[^"\n]{0,500}")?\)/y;
const BARE_LINK = /https?:\/\/[^\s<>"'`)\]}]{1,2000}/y;
const EMPHASIS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];
const SAFE_PROTOCOLS = ["http:", "https:", "mailto:"];

/** Appends the text to `parent`, and returns `parent`. */
export function renderInline(parent, text, depth = 0) {
  if (text.length > MAX_CHARACTERS || depth > MAX_DEPTH) {
    parent.append(escapeControls(text));
    return parent;
  }
  const unclosed = new Set(); // marks without a closing mark in the remaining text, so that each is searched for once
  let plainStart = 0;
  for (let i = 0; (i = findSpecial(text, i)) < text.length; ) {
    const span = parseEscape(text, i) ?? parseCode(text, i, unclosed) ?? parseEmphasis(text, i, unclosed, depth) ?? parseLink(text, i);
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

function parseEmphasis(text, i, unclosed, depth) {
  const [mark, tag] = EMPHASIS.find(([candidate]) => text.startsWith(candidate, i)) ?? [];
  if (!mark || unclosed.has(mark) || /\s|^$/.test(text[i + mark.length] ?? "")) return null;
  const isUnderscore = mark[0] === "_"; // no emphasis inside words, such as snake_case
  if (isUnderscore && isLetter(text[i - 1])) return null;
  for (let close = i + mark.length; (close = text.indexOf(mark, close + 1)) > 0; ) {
    if (/\s/.test(text[close - 1]) || (isUnderscore && isLetter(text[close + mark.length]))) continue;
    if (mark.length === 1 && (text[close + 1] === mark || text[close - 1] === mark)) {
      close += 1; // half of a double mark
      continue;
    }
    return { node: renderInline(el(tag), text.slice(i + mark.length, close), depth + 1), end: close + mark.length };
  }
  unclosed.add(mark);
  return null;
}

function parseLink(text, i) {
  if (text[i] === "[") {
    LINK.lastIndex = i;
    const match = LINK.exec(text);
    const href = match && checkUrl(match[2]);
    return href ? { node: buildLink(href, match[1]), end: LINK.lastIndex } : null;
  }
  if (text[i] !== "h" || isLetter(text[i - 1])) return null;
  BARE_LINK.lastIndex = i;
  const url = BARE_LINK.exec(text)?.[0].replace(/[.,:;!?*_~。，、；：！？]+$/, "");
  const href = url && checkUrl(url);
  return href ? { node: buildLink(href, url), end: i + url.length } : null;
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

function buildLink(href, text) {
  return el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer" }, escapeControls(text));
}
