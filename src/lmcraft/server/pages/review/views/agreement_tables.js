// The tables of the agreement view: reviewers, pairs of them, rules, confused rules.

import { formatNumber, localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildMetric, formatKappa, formatShare } from "./intervals.js";
import { buildWarning, nameRule } from "./marks.js";

/** columns: [[name, row => content of a cell], ...]; the first is the heading of its row. */
function buildTable(caption, columns, rows, note) {
  const head = el("tr", {}, ...columns.map(([name]) => el("th", { scope: "col" }, name)));
  const buildCells = (row) => columns.map(([name, build], i) => el(i ? "td" : "th", i ? { "data-label": name } : { scope: "row", dir: "auto" }, ...[build(row)].flat()));
  const body = rows.map((row) => el("tr", {}, ...buildCells(row)));
  const table = el("table", { class: "figures" }, el("caption", { class: "visually-hidden" }, caption), el("thead", {}, head), el("tbody", {}, ...body));
  return el("section", { class: "block" }, el("h2", {}, caption), note && el("p", { class: "note" }, note), el("div", { class: "wide-table", tabindex: "0", role: "group", "aria-label": caption }, table));
}

export function buildRaters({ raters, labels }, guideline) {
  if (!raters.length) return null;
  const nameOf = (label) => localize(guideline?.labels.find(({ name }) => name === label)?.title ?? { en: label });
  const buildGold = ({ gold }) => (gold.judged ? [t("ratio", { n: formatNumber(gold.correct), count: formatNumber(gold.judged) }), ...buildMetric(gold.accuracy, formatShare)] : "–");
  const columns = [
    [t("reviewerColumn"), ({ reviewer, suspect }) => [reviewer, suspect && buildWarning(t("suspectTag"))].filter(Boolean)],
    [t("votes"), ({ votes }) => formatNumber(votes)],
    [t("agreesWithOthers"), ({ agreement }) => buildMetric(agreement, formatShare)],
    [t("reliability"), ({ reliability }) => buildMetric(reliability, formatShare)],
    [t("goldAccuracy"), buildGold],
    [t("medianSeconds"), ({ seconds }) => (seconds === null ? "–" : t("secondsShort", { seconds: formatNumber(seconds) }))],
  ];
  const section = buildTable(t("reviewers"), columns, raters, t("reliabilityHelp"));
  const withConfusion = raters.filter(({ confusion }) => confusion);
  for (const { reviewer, confusion } of withConfusion) {
    const rows = confusion.map((shares, i) => ({ label: nameOf(labels[i]), shares }));
    const cells = labels.map((label, column) => [nameOf(label), ({ shares }) => buildShade(shares[column])]);
    const table = buildTable(t("confusionOf", { name: reviewer }), [[t("rightLabel"), ({ label }) => label], ...cells], rows);
    section.append(el("details", {}, el("summary", {}, t("confusionOf", { name: reviewer })), table.lastChild));
  }
  return section;
}

/** A share on a ground that is the stronger the larger it is. */
function buildShade(share) {
  const node = el("span", { class: "shade" }, formatShare(share));
  node.style.setProperty("--share", `${Math.round(40 * share)}%`);
  return node;
}

export function buildPairs(pairs) {
  if (!pairs.length) return null;
  const columns = [
    [t("pairColumn"), ({ first, second }) => t("pairOf", { first, second })],
    [t("sharedItems"), ({ items }) => formatNumber(items)],
    [t("percentAgreement"), ({ agreement }) => buildMetric(agreement, formatShare)],
    [t("cohenKappa"), ({ cohen }) => buildMetric(cohen, formatKappa)],
  ];
  return buildTable(t("pairsOfReviewers"), columns, pairs);
}

export function buildRules(rules, guideline) {
  if (!rules.length) return null;
  const columns = [
    [t("rule"), ({ id, unclear }) => [nameRule(guideline, id), unclear && buildWarning(t("unclearTag"))].filter(Boolean)],
    [t("votes"), ({ votes }) => formatNumber(votes)],
    [t("itemsColumn"), ({ items }) => formatNumber(items)],
    [t("contradicted"), ({ contradicted }) => buildMetric(contradicted, formatShare)],
  ];
  return buildTable(t("rulesTable"), columns, rules, t("contradictedHelp"));
}

export function buildConfusedRules(rows, guideline) {
  if (!rows.length) return null;
  const columns = [
    [t("rulesColumn"), ({ first, second, confused }) => [t("pairOf", { first: nameRule(guideline, first), second: nameRule(guideline, second) }), confused && buildWarning(t("confusedTag"))].filter(Boolean)],
    [t("confusions"), ({ confusions }) => formatNumber(confusions)],
    [t("confusedShare"), ({ share }) => buildMetric(share, formatShare)],
    [t("otherLabels"), ({ other_labels: share }) => (share === null ? "–" : formatShare(share))],
  ];
  return buildTable(t("confusedRules"), columns, rows, t("confusedHelp"));
}
