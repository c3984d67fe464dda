// What happened to an item, from its audit log.

import { formatNumber, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildTime } from "../../views/times.js";

const EVENTS = {
  item_added: "eventAdded",
  traffic_added: "eventTraffic",
  verdict: "eventVerdict",
  skipped: "eventSkipped",
  escalated: "eventEscalated",
  adjudicated: "eventAdjudicated",
  exported: "eventExported",
  erased: "eventErased",
  round_opened: "eventRoundOpened",
  round_revealed: "eventRoundRevealed",
  requeued: "eventRequeued",
  reported: "eventReported",
  comment: "eventComment",
};

/** history: [{seq, time, actor, event, payload}], oldest first. */
export function buildHistory(history) {
  return el("ol", { class: "history" }, ...history.map(buildEvent));
}

function buildEvent({ seq, time, actor, event, payload }) {
  const name = EVENTS[event] ? t(EVENTS[event]) : event;
  const fields = typeof payload === "string" ? payload : JSON.stringify(payload, null, 2);
  return el(
    "li",
    {},
    el("div", { class: "row" }, el("strong", {}, name), el("span", { dir: "auto" }, actor), buildTime(time)),
    el("details", {}, el("summary", {}, t("auditRow", { seq: formatNumber(seq) })), el("pre", { tabindex: "0" }, fields)),
  );
}
