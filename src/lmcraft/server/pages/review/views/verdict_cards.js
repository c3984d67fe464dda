// Verdicts beside each other: who chose which label, by which rule, and why.

import { formatNumber, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildTime } from "../../views/times.js";
import { buildLabel, buildPlain, nameRule } from "./marks.js";

const REPORT_REASONS = { harmful: "reportedHarmful", wrong: "reportedWrong", privacy: "reportedPrivacy", other: "reportedOther" };

/**
 * verdicts: [{reviewer, label, rule, comment, correction, contains, excludes, version, seconds, created, final}].
 * buildActions(verdict): nodes below a verdict. isBlind: the reviewers are letters.
 */
export function buildVerdicts(verdicts, guideline, { isBlind = false, buildActions = () => [] } = {}) {
  const cards = verdicts.map((verdict) => buildCard(verdict, guideline, isBlind, buildActions(verdict)));
  return el("ol", { class: "verdicts", "aria-label": t("verdicts") }, ...cards);
}

function buildCard(verdict, guideline, isBlind, actions) {
  const { reviewer, label, rule, comment, correction, contains, excludes, version, seconds, created, final } = verdict;
  const head = el(
    "header",
    {},
    el("h3", { dir: "auto" }, isBlind ? t("reviewerLetter", { letter: reviewer }) : reviewer),
    final && el("span", { class: "badge", "data-state": "adjudicated" }, t("finalVerdict")),
    created && buildTime(created),
  );
  const isOld = guideline && version && version !== guideline.version;
  return el(
    "li",
    {},
    head,
    el("p", { class: "cited-label" }, buildLabel(guideline, label), el("span", { dir: "auto" }, nameRule(guideline, rule))),
    isOld && el("p", { class: "note" }, t("madeWithVersion", { version })),
    comment && buildPlain(comment),
    correction && buildPart(t("betterAnswer"), [buildPlain(correction)]),
    contains?.length > 0 && buildPart(t("mustContain"), [buildTexts(contains)]),
    excludes?.length > 0 && buildPart(t("mustNotContain"), [buildTexts(excludes)]),
    seconds > 0 && el("p", { class: "note" }, t("tookSeconds", { seconds: formatNumber(seconds) })),
    actions.length > 0 && el("div", { class: "row actions" }, ...actions),
  );
}

const buildPart = (title, children) => el("div", { class: "part" }, el("h4", {}, title), ...children);

const buildTexts = (texts) => el("ul", { class: "text-list" }, ...texts.map((text) => el("li", { dir: "auto" }, text)));

/** Why reviewers passed an item on: escalations: [{reviewer, comment, created}]; what users say: reports: [{reason, comment, created}]. */
export function buildRemarks({ escalations = [], reports = [] }) {
  const remarks = [
    ...escalations.map((remark) => [t("escalatedBy", { letter: remark.reviewer }), remark]),
    ...reports.map((remark) => [`${t("userReport")} · ${t(REPORT_REASONS[remark.reason] ?? "reportedOther")}`, remark]),
  ];
  if (!remarks.length) return [];
  const build = ([title, { comment, created }]) => el("li", {}, el("header", {}, el("strong", {}, title), created && buildTime(created)), comment ? buildPlain(comment) : el("p", { class: "note" }, t("noComment")));
  return [el("h3", {}, t("remarks")), el("ol", { class: "thread" }, ...remarks.map(build))];
}
