// Small pieces that several views show: states, labels, rules, times.

import { localize, t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";

export const STATES = { pending: "statePending", claimed: "stateClaimed", reviewed: "stateReviewed", disagreed: "stateDisagreed", escalated: "stateEscalated", adjudicated: "stateAdjudicated", skipped: "stateSkipped", exported: "stateExported", erased: "stateErased" };
export const SOURCES = { server: "sourceServer", report: "sourceReport", audit: "sourceAudit", filter: "sourceFilter", file: "sourceFile" };

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

/** A text of a model or a user, as it is. */
export const buildPlain = (text) => el("p", { class: "plain", dir: "auto" }, escapeControls(text));

/** A record of the server, folded; null if it is empty. */
export function buildRecord(title, value) {
  if (!value || !Object.keys(value).length) return null;
  return el("details", { class: "record" }, el("summary", {}, title), el("pre", { tabindex: "0" }, JSON.stringify(value, null, 2)));
}

/** A mark that something needs attention. */
export const buildWarning = (text) => el("span", { class: "badge", "data-state": "disagreed" }, text);
