// What a chart shows, in a few sentences, for those who cannot see it.

import { t } from "../../strings.js";
import { nameX, valueOf } from "./readout.js";

const MAX_LINES = 12;

export function summarize(chart) {
  const lines = chart.visibleLines().filter(({ curve }) => curve.mean.some((y) => !Number.isNaN(y)));
  if (!lines.length) return t("chartEmpty");
  const { x0, x1 } = chart.grid.extent;
  const range = t("chartRange", { from: nameX(chart.grid, x0), to: nameX(chart.grid, x1) });
  const sentences = lines.slice(0, MAX_LINES).map((line) => describe(chart, line));
  if (lines.length > MAX_LINES) sentences.push(t("chartMore", { n: lines.length - MAX_LINES }));
  return [range, ...sentences].join(" ");
}

function describe(chart, { curve, title }) {
  const known = [...curve.mean.keys()].filter((index) => !Number.isNaN(curve.mean[index]));
  const value = (index) => valueOf(chart, curve.mean[index]);
  const lowest = known.reduce((a, b) => (curve.mean[b] < curve.mean[a] ? b : a));
  const highest = known.reduce((a, b) => (curve.mean[b] > curve.mean[a] ? b : a));
  return t("chartLine", { name: title(), first: value(known[0]), last: value(known.at(-1)), lowest: value(lowest), highest: value(highest) });
}
