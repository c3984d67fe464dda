// The row of buttons under a message.

import { formatNumber, t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { el } from "./dom.js";
import { markHintSeen } from "./first_use_hint.js";
import { buildIcon, buildIconButton } from "./icons.js";

const IDLE_ONLY = { class: "icon idle-only" }; // disabled while the conversation has an answer in progress

/**
 * display: {siblings, isLast, showTokens, pairedWith};
 * handlers: {edit(), toggleTokens(), showPrompt(), rate(rating), report() or null, reportProblem: why it cannot be reported, or ""}.
 * `data-act` identifies a button across redraws.
 */
export function buildActions(message, display, controller, handlers) {
  const { id, role } = message;
  const versions = buildVersionSwitcher(message, display, controller);
  if (message.live) return [versions];
  const kept = !message.isTransient;
  const copy = buildButton("copy", (event) => copyText(message.content, event.currentTarget));
  const edit = kept && buildButton("edit", handlers.edit, IDLE_ONLY);
  if (role === "user") {
    const answer = display.isLast && buildButton("regenerate", () => controller.answer(id), IDLE_ONLY);
    return [versions, copy, edit, answer];
  }
  const inspection = [
    message.details?.tokens?.length > 0 && buildWordButton("tokens", handlers.toggleTokens, { "aria-pressed": String(display.showTokens) }),
    buildWordButton("prompt", handlers.showPrompt),
  ];
  const report = kept && handlers.report && buildReportButton(message, handlers);
  if (display.letter) return [copy, report]; // tokens and prompt would tell which model it is
  if (display.pairedWith) return [display.siblings.length > 2 && versions, copy, report, ...inspection];
  const canContinue = kept && display.isLast && !["stop", "content_filter"].includes(message.details?.finish) && !message.details?.problem;
  return [
    versions,
    kept && versions && buildButton("compareVersions", () => controller.compare(id), IDLE_ONLY),
    copy,
    edit,
    buildButton("regenerate", () => controller.regenerate(id), IDLE_ONLY),
    canContinue && buildButton("continue", () => controller.continueAnswer(id), IDLE_ONLY),
    kept && buildRatingButton(message, 1, handlers.rate),
    kept && buildRatingButton(message, -1, handlers.rate),
    report,
    ...inspection,
  ];
}

/** A button whose icon and label both have the action's name. */
function buildButton(action, onclick, attributes = {}) {
  return buildIconButton(action, t(action), onclick, { "data-act": action, ...attributes });
}

/** A button that shows the action's name, because its icon alone tells nobody what it does. */
function buildWordButton(action, onclick, attributes = {}) {
  const button = el("button", { type: "button", class: "icon word", "data-act": action, title: t(`${action}Title`), ...attributes });
  button.append(buildIcon(action), t(action));
  button.addEventListener("click", () => (markHintSeen(), onclick()));
  return button;
}

function buildRatingButton(message, rating, rate) {
  const action = rating > 0 ? "good" : "bad";
  const isSet = message.rating === rating;
  const label = isSet && message.reason ? `${t(action)}: ${message.reason}` : t(action);
  return buildIconButton(action, label, () => rate(isSet ? 0 : rating), { "data-act": action, "aria-pressed": String(isSet) });
}

/** A button that does nothing can still be focused, and its label says why. */
function buildReportButton({ isReported }, { report, reportProblem }) {
  const reason = isReported ? t("alreadyReported") : reportProblem;
  return buildIconButton("report", reason || t("report"), () => reason || report(), { "data-act": "report", "aria-disabled": reason ? "true" : null });
}

/** The other answer of a pair is passed over. */
function buildVersionSwitcher({ id }, { siblings, pairedWith }, controller) {
  if (siblings.length < 2) return null;
  const n = siblings.indexOf(id) + 1;
  const count = siblings.length;
  const choices = siblings.filter((version) => version !== pairedWith);
  return el(
    "span",
    { class: "switcher", role: "group", "aria-label": t("version", { n, count }) },
    buildButton("previous", () => controller.switchVersion(id, -1), { disabled: choices[0] === id }),
    el("span", {}, `${n}/${count}`),
    buildButton("next", () => controller.switchVersion(id, 1), { disabled: choices.at(-1) === id }),
  );
}

/** The speed of an answer and its length, with a meter of the limit while it grows; nothing if it was not measured. */
export function buildStats({ live, details }) {
  const timings = live?.timings() ?? details?.timings;
  if (!timings) return [];
  const { rate, first, tokens } = timings;
  const limit = live ? live.limit : details.settings?.max_tokens;
  const count = limit ? t("tokensOfLimit", { n: formatNumber(tokens), limit: formatNumber(limit) }) : t("tokenCount", { n: formatNumber(tokens) });
  const text = t("stats", { rate: rate ? formatNumber(rate, 1) : "–", first: formatNumber(first, 2), count });
  const meter = live && limit && el("meter", { min: "0", max: limit, value: tokens, "aria-label": t("limit"), title: t("limit") });
  return [text, meter].filter(Boolean);
}
