// Small pieces of several pages: headings, names with their values, choices.

import { el } from "./dom.js";

/** A heading with a line below that says what there is to see. */
export const buildTitle = (title, ...note) => el("header", { class: "title" }, el("h1", {}, title), note.length > 0 && el("p", { class: "note" }, ...note));

/** Rows of names and values; values may be nodes. Rows without a value are left out. */
export function buildFacts(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)]));
}

/** A select with options [[value, text], ...] under a label. */
export function buildSelect(label, options, value, onchange, attributes = {}) {
  const select = el("select", { onchange: () => onchange(select.value), ...attributes }, ...options.map(([name, text]) => el("option", { value: name }, text)));
  select.value = value;
  return el("label", { class: "pick" }, el("span", {}, label), select);
}
