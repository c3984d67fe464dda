// Small pieces that several views show: states, labels, rules, times.

import { formatDateTime, getLanguage, localize, t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";

export const STATES = { pending: "statePending", claimed: "stateClaimed", reviewed: "stateReviewed", disagreed: "stateDisagreed", escalated: "stateEscalated", adjudicated: "stateAdjudicated", skipped: "stateSkipped", exported: "stateExported" };
export const SOURCES = { server: "sourceServer", report: "sourceReport", audit: "sourceAudit", filter: "sourceFilter", file: "sourceFile" };
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const MAX_DAYS = 30; // after which a date says more

export const buildState = (state) => el("span", { class: "badge", "data-state": state }, t(STATES[state]));

/** The name of a label in the page's language, colored by its outcome; `guideline` may be missing. */
export function buildLabel(guideline, name) {
  const label = guideline?.labels.find((candidate) => candidate.name === name);
  return el("strong", { class: "chosen-label", "data-outcome": label?.outcome ?? "", dir: "auto" }, label ? localize(label.title) : name);
}

/** "H2 Instructions for violence", or the id if the guideline has no such rule. */
export function nameRule(guideline, id) {
  const title = guideline?.rules.find((rule) => rule.id === id)?.title;
  return title ? `${id} ${localize(title)}` : id;
}

export const titleOf = (guideline, name) => (guideline ? localize(guideline.title) : name);

/** Seconds since 1970 of a time that the server wrote as such, or as text. */
export const toSeconds = (time) => (typeof time === "string" ? Date.parse(time) / 1000 : time);

/** When something happened, with the date and the time as the tooltip. */
export function buildTime(time) {
  const seconds = toSeconds(time);
  return el("time", { datetime: new Date(seconds * 1000).toISOString(), title: formatDateTime(seconds) }, formatAge(seconds));
}

/** How long ago: "3 hours ago", or the date. */
export function formatAge(seconds) {
  const age = Date.now() / 1000 - seconds;
  const [unit, length] = UNITS.find(([, length]) => age >= length) ?? ["minute", 60];
  const language = getLanguage();
  formats[language] ??= { date: new Intl.DateTimeFormat(language, { dateStyle: "medium" }), age: new Intl.RelativeTimeFormat(language, { numeric: "auto" }) };
  const { date, age: ago } = formats[language];
  return age > MAX_DAYS * 86400 ? date.format(seconds * 1000) : ago.format(-Math.floor(Math.max(0, age) / length), unit);
}

const formats = {}; // building them takes longer than formatting with them

/** A text of a model or a user, as it is. */
export const buildPlain = (text) => el("p", { class: "plain", dir: "auto" }, escapeControls(text));

/** A heading with a line below that says what there is to see. */
export const buildTitle = (title, ...note) => el("header", { class: "title" }, el("h1", {}, title), note.length > 0 && el("p", { class: "note" }, ...note));

/** Rows of names and values; values may be nodes. Rows without a value are left out. */
export function buildFacts(rows) {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", { class: "facts" }, ...known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", { dir: "auto" }, value)]));
}

/** A record of the server, folded; null if it is empty. */
export function buildRecord(title, value) {
  if (!value || !Object.keys(value).length) return null;
  return el("details", { class: "record" }, el("summary", {}, title), el("pre", { tabindex: "0" }, JSON.stringify(value, null, 2)));
}

/** A mark that something needs attention. */
export const buildWarning = (text) => el("span", { class: "badge", "data-state": "disagreed" }, text);

/** A select with options [[value, text], ...] under a label. */
export function buildSelect(label, options, value, onchange, attributes = {}) {
  const select = el("select", { onchange: () => onchange(select.value), ...attributes }, ...options.map(([name, text]) => el("option", { value: name }, text)));
  select.value = value;
  return el("label", { class: "pick" }, el("span", {}, label), select);
}
