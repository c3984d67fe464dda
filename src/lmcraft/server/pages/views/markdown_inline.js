// The inside of a paragraph: code, emphasis and links.

import { el, visible } from "./dom.js";

const LONGEST = 20_000; // characters; a longer paragraph is shown as it is, so that no text can make this slow
const DEEPEST = 6;
const SPECIAL = /[\\`*_~[]|https?:\/\//g;
const LINK = /\[([^[\]\n]{1,1000})\]\(<?((?:[^()\s<>]|\([^()\s<>]{0,500}\)){1,2000})>?(?:\s+"[^"\n]{0,500}")?\)/y;
const BARE_LINK = /https?:\/\/[^\s<>"'`)\]}]{1,2000}/y;
const MARKS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];

/** Fills `parent` with `text`, and gives it back. */
export function inline(parent, text, depth = 0) {
  if (text.length > LONGEST || depth > DEEPEST) {
    parent.append(visible(text));
    return parent;
  }
  const missing = new Set(); // marks that nothing further on closes: looked for once
  let plainFrom = 0;
  for (let i = 0; (i = nextSpecial(text, i)) < text.length; ) {
    const found = escaped(text, i) ?? code(text, i, missing) ?? emphasis(text, i, missing, depth) ?? link(text, i);
    if (!found) {
      i += 1;
      continue;
    }
    parent.append(visible(text.slice(plainFrom, i)), found.node);
    i = plainFrom = found.end;
  }
  parent.append(visible(text.slice(plainFrom)));
  return parent;
}

function nextSpecial(text, from) {
  SPECIAL.lastIndex = from;
  return SPECIAL.exec(text)?.index ?? text.length;
}

function escaped(text, i) {
  if (text[i] !== "\\" || !/[!-/:-@[-`{-~]/.test(text[i + 1] ?? "")) return null;
  return { node: text[i + 1], end: i + 2 };
}

function code(text, i, missing) {
  if (text[i] !== "`") return null;
  let ticks = i;
  while (text[ticks] === "`") ticks += 1;
  const mark = text.slice(i, ticks);
  const close = missing.has(mark) ? -1 : text.indexOf(mark, ticks);
  if (close < 0) {
    missing.add(mark);
    return { node: mark, end: ticks };
  }
  return { node: el("code", {}, visible(text.slice(ticks, close).replace(/^ (.+) $/, "$1"))), end: close + mark.length };
}

function emphasis(text, i, missing, depth) {
  const [mark, tag] = MARKS.find(([one]) => text.startsWith(one, i)) ?? [];
  if (!mark || missing.has(mark) || /\s|^$/.test(text[i + mark.length] ?? "")) return null;
  const word = mark[0] === "_"; // snake_case is no emphasis
  if (word && /[\p{L}\p{N}]/u.test(text[i - 1] ?? "")) return null;
  for (let close = i + mark.length; (close = text.indexOf(mark, close + 1)) > 0; ) {
    if (/\s/.test(text[close - 1]) || (word && /[\p{L}\p{N}]/u.test(text[close + mark.length] ?? ""))) continue;
    if (mark.length === 1 && (text[close + 1] === mark || text[close - 1] === mark)) {
      close += 1; // part of a double mark
      continue;
    }
    return { node: inline(el(tag), text.slice(i + mark.length, close), depth + 1), end: close + mark.length };
  }
  missing.add(mark);
  return null;
}

function link(text, i) {
  if (text[i] === "[") {
    LINK.lastIndex = i;
    const found = LINK.exec(text);
    const href = found && safe(found[2]);
    return href ? { node: anchor(href, visible(found[1])), end: LINK.lastIndex } : null;
  }
  if (text[i] !== "h" || /[\p{L}\p{N}]/u.test(text[i - 1] ?? "")) return null;
  BARE_LINK.lastIndex = i;
  const address = BARE_LINK.exec(text)?.[0].replace(/[.,:;!?*_~。,、;:!?]+$/, "");
  const href = address && safe(address);
  return href ? { node: anchor(href, visible(address)), end: i + address.length } : null;
}

/** The address, if it is absolute and of a harmless kind. */
function safe(address) {
  try {
    const { protocol, href } = new URL(address);
    return ["http:", "https:", "mailto:"].includes(protocol) ? href : null;
  } catch {
    return null;
  }
}

function anchor(href, ...children) {
  return el("a", { href, title: href, target: "_blank", rel: "noopener noreferrer" }, ...children);
}
