// What measures of agreement mean, in words.

import { t } from "../../strings.js";
import { formatKappa, formatShare } from "./intervals.js";

// Krippendorff, Content Analysis (2004), section 11.4: from 0.8 data are reliable, from 0.667 tentative conclusions can be drawn.
const ALPHA_MARKS = [0.667, 0.8];
const ALPHA_WORDS = [[0.8, "alphaReliable"], [0.667, "alphaTentative"], [0, "alphaLow"], [-Infinity, "alphaChance"]];
// Landis and Koch, Biometrics 33 (1977), table 1.
const KAPPA_WORDS = [[0.8, "kappaAlmostPerfect"], [0.6, "kappaSubstantial"], [0.4, "kappaModerate"], [0.2, "kappaFair"], [0, "kappaSlight"], [-Infinity, "kappaPoor"]];

/** The measures of a report, in the order in which they are shown. */
export const MEASURES = [
  { name: "krippendorff", title: "krippendorffAlpha", help: "krippendorffHelp", format: formatKappa, words: ALPHA_WORDS, marks: ALPHA_MARKS },
  { name: "agreement", title: "percentAgreement", help: "percentHelp", format: formatShare, words: null, marks: [] },
  { name: "cohen", title: "cohenKappa", help: "cohenHelp", format: formatKappa, words: KAPPA_WORDS, marks: [] },
  { name: "fleiss", title: "fleissKappa", help: "fleissHelp", format: formatKappa, words: KAPPA_WORDS, marks: [] },
];

/** What a value says; and if its interval reaches into a lower class, that too. */
export function wordMeasure({ words, format }, metric) {
  if (!metric) return t("tooLittleData");
  if (!words) return "";
  const find = (value) => words.find(([bound]) => value >= bound)[1];
  const isUnsure = metric.low !== null && find(metric.low) !== find(metric.value);
  const meaning = t(find(metric.value));
  return isUnsure ? t("butPerhaps", { meaning, low: format(metric.low) }) : meaning;
}

/** finding: {kind, rules, reviewer, share, measure: what shows it, of a reviewer}. What is wrong, and what to do about it. */
export function wordFinding({ kind, rules, reviewer, share, measure }) {
  const values = { rule: rules[0], other: rules[1], name: reviewer, share: share ? formatShare(share.value) : "–" };
  return t({ unclear_rule: "findingUnclear", confused_rules: "findingConfused", suspect_reviewer: measure === "gold" ? "findingSuspectGold" : "findingSuspect" }[kind] ?? "findingOther", values);
}
