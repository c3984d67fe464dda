// What is shown in place of an item: a break, an empty queue, the end of the day's exposure, a server that is away.

import { formatNumber, getLanguage, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIcon } from "../../views/icons.js";

const ICONS = { pause: "leaf", pauseReleased: "leaf", queueEmpty: "check", exposure_cap: "leaf", away: "alert", failed: "alert" };
const TITLES = { pauseReleased: "pauseTitle" };

/** kind: a key of ICONS; values: of the text; action: {label, run} of the button, or null; second: another. */
export function buildPauseScreen(kind, values, action, second = null) {
  const icon = el("div", { class: "pause-icon" }, buildIcon(ICONS[kind]));
  const buttons = [action && el("button", { type: "button", class: "main", onclick: action.run }, action.label), second && el("button", { type: "button", class: "quiet", onclick: second.run }, second.label)];
  return el(
    "section",
    { class: "pause", tabindex: "-1", "aria-labelledby": "pause-title" },
    icon,
    el("h2", { id: "pause-title" }, t(TITLES[kind] ?? `${kind}Title`)),
    el("p", { dir: "auto" }, t(`${kind}Text`, values)),
    el("div", { class: "row buttons" }, ...buttons),
  );
}

/** The values of the text of exposure_cap: a new day begins at midnight, Universal Time. */
export function describeCap({ exposure: { cap } }, now = new Date()) {
  const midnight = Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate() + 1);
  const time = new Date(midnight).toLocaleTimeString(getLanguage(), { hour: "2-digit", minute: "2-digit" });
  return { cap: formatNumber(cap), time };
}
