// Small pieces that the list and the pages of runs share: states, progress, names.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIcon } from "../../views/icons.js";
import { formatDuration, formatFigure } from "../format.js";

// state: [key of its name, icon]
export const STATES = {
  __proto__: null, // a name from elsewhere is looked up in it
  running: ["stateRunning", "play"],
  starting: ["stateStarting", "play"],
  paused: ["statePaused", "pause"],
  stopped: ["stateStopped", "square"],
  finished: ["stateFinished", "check"],
  failed: ["stateFailed", "alert"],
  killed: ["stateKilled", "bolt"],
};
const UNKNOWN = ["stateUnknown", "help"];
const KINDS = { __proto__: null, pretrain: "kindPretrain", finetune: "kindFinetune", "scaling member": "kindScaling", trial: "kindTrial" };

export function buildState(state) {
  const [name, icon] = STATES[state] ?? UNKNOWN;
  return el("span", { class: "state", "data-state": state }, buildIcon(icon), t(name));
}

export const nameKind = (kind) => (KINDS[kind] ? t(KINDS[kind]) : (kind ?? ""));

export const isOpen = ({ state }) => ["running", "starting", "paused"].includes(state);

/** The share of a run that is done, from 0 to 1; null if nobody knows. */
const shareOf = ({ step, max_steps: max }) => (max > 0 ? Math.min(1, (step ?? 0) / max) : null);

/** "1,200 of 10,000 steps" */
export function describeSteps({ step, max_steps: max }) {
  const done = formatFigure(step ?? 0, 7);
  return max > 0 ? t("stepsOf", { step: done, max: formatFigure(max, 7) }) : t("steps", { step: done });
}

export const describeTimeLeft = (run) => (run.state === "running" && run.seconds_left !== null && run.seconds_left !== undefined ? t("timeLeft", { duration: formatDuration(run.seconds_left) }) : "");

/** A bar, with its meaning for screen readers; null without a known length. */
export function buildProgress(run) {
  const share = shareOf(run);
  if (share === null) return null;
  const bar = el("span", { class: "progress", role: "progressbar", "aria-label": t("columnProgress"), "aria-valuemin": "0", "aria-valuemax": "100", "aria-valuenow": String(Math.floor(100 * share)), "aria-valuetext": describeSteps(run), "data-state": run.state });
  bar.append(el("span"));
  bar.firstChild.style.inlineSize = `${100 * share}%`;
  return bar;
}

/** The folder that a run is in, before its name: "sweep/" of "sweep/a". In an id, other characters are bytes as ~XX. */
export function folderOf({ id, name }) {
  try {
    const path = decodeURIComponent(id.replaceAll("~", "%"));
    return path.endsWith(`/${name}`) ? path.slice(0, -name.length) : "";
  } catch {
    return ""; // bytes that are no UTF-8
  }
}
