// Figures with their 95% intervals: as text, and as a line with a dot.

import { formatNumber, t } from "../../strings.js";
import { el } from "../../views/dom.js";

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = 4; // percent, for the dot at either end

export const formatShare = (value) => `${formatNumber(100 * value)}%`;
export const formatKappa = (value) => formatNumber(value, 2);

/** metric: {value, low, high} or null. "0.71", or a dash. */
export const formatValue = (metric, format) => (metric ? format(metric.value) : "–");

/** "0.61 to 0.80", or nothing if there is too little data. */
export function formatInterval(metric, format) {
  return metric && metric.low !== null ? t("interval", { low: format(metric.low), high: format(metric.high) }) : "";
}

/** The content of a table's cell: the figure, its interval, and both as a chart. */
export function buildMetric(metric, format) {
  if (!metric) return [el("span", { class: "no-figure" }, "–"), el("span", { class: "visually-hidden" }, t("tooLittleData"))];
  const interval = formatInterval(metric, format);
  return [el("strong", {}, format(metric.value)), interval && el("small", {}, interval), buildChart(metric)].filter(Boolean);
}

/** The interval as a line from 0 to 1 and the value as a dot; `marks`: thresholds. Screen readers get the text beside it. */
export function buildChart({ value, low, high }, marks = []) {
  const scale = (figure) => `${MARGIN + (100 - 2 * MARGIN) * Math.min(1, Math.max(0, figure))}%`;
  const drawLine = (name, from, to) => draw("line", { class: name, x1: scale(from), x2: scale(to), y1: "50%", y2: "50%" });
  const parts = [drawLine("axis", 0, 1), ...marks.map((mark) => draw("line", { class: "mark", x1: scale(mark), x2: scale(mark), y1: "10%", y2: "90%" }))];
  if (low !== null) parts.push(drawLine("range", low, high));
  parts.push(draw("circle", { class: "dot-mark", cx: scale(value), cy: "50%", r: 4.5 }));
  const svg = draw("svg", { class: "interval", "aria-hidden": "true" });
  svg.append(...parts);
  return svg;
}

function draw(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
