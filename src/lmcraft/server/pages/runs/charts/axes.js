// What a chart draws around and above its curves: grid, ticks, pointer, and the part that is being selected.

import { t } from "../../strings.js";
import { formatFigure } from "../format.js";
import { AXES } from "../state/metrics.js";
import { findVisible } from "./paint.js";
import { findTicks } from "./scale.js";

const FONT = "12px system-ui, sans-serif";
const TICK_GAP = 6;
const MAX_DOTS = 24; // of curves at the pointer
const DOT_RADIUS = 3.5;
const HIGHLIGHT_WIDTH = 3;
const TICK_DIGITS = 6;

export function drawAxes(context, chart) {
  const { area, view, grid } = chart;
  const { colors, options } = grid;
  Object.assign(context, { font: FONT, lineWidth: 1, strokeStyle: colors.line, fillStyle: colors.muted, textBaseline: "middle", textAlign: "right" });
  context.beginPath();
  for (const [y, value] of findTicks(view.y0, view.y1, options.isLogY, area.height, "y")) {
    const down = Math.round(chart.toDown(y)) + 0.5;
    context.moveTo(area.left, down);
    context.lineTo(area.left + area.width, down);
    context.fillText(formatFigure(value, TICK_DIGITS), area.left - TICK_GAP, down);
  }
  context.stroke();
  Object.assign(context, { textBaseline: "top", textAlign: "center" });
  const bottom = area.top + area.height;
  context.beginPath();
  for (const [x, text] of xTicks(view, area.width, grid)) {
    const across = Math.round(chart.toAcross(x)) + 0.5;
    context.moveTo(across, bottom);
    context.lineTo(across, bottom + 4);
    const half = context.measureText(text).width / 2;
    context.fillText(text, Math.min(across, chart.box.width - half), bottom + TICK_GAP);
  }
  context.moveTo(area.left, bottom + 0.5);
  context.lineTo(area.left + area.width, bottom + 0.5);
  context.strokeStyle = colors["line-strong"];
  context.stroke();
  context.fillText(nameAxis(grid), area.left + area.width / 2, bottom + 22);
}

/** "Time, hours" */
export function nameAxis({ options, unit }) {
  const name = t(AXES[options.axis].label);
  return unit.unit ? t("withUnit", { name, unit: unit.unit }) : name;
}

function xTicks({ x0, x1 }, width, { options, unit }) {
  const { divisor } = unit;
  const shift = options.isLogX ? (x) => x - Math.log10(divisor) : (x) => x / divisor;
  const unshift = options.isLogX ? (x) => x + Math.log10(divisor) : (x) => x * divisor;
  return findTicks(shift(x0), shift(x1), options.isLogX, width, "x").map(([x, value]) => [unshift(x), formatFigure(value, TICK_DIGITS)]);
}

/** The line at the pointer with a dot on each curve, and the highlighted curve above the others. */
export function drawPointer(context, chart, { hover, points, highlight }) {
  const { area, grid, view } = chart;
  context.save();
  context.beginPath();
  context.rect(area.left, area.top - DOT_RADIUS, area.width + DOT_RADIUS, area.height + 2 * DOT_RADIUS);
  context.clip();
  const isNear = (line) => hover?.keys?.has(line.key);
  const isCrowded = chart.lines.length > MAX_DOTS;
  for (const line of chart.visibleLines()) {
    if (line.run === highlight || (isCrowded && isNear(line))) drawCurve(context, chart, line, view);
  }
  if (hover && hover.x >= view.x0 && hover.x <= view.x1) {
    const across = Math.round(chart.toAcross(hover.x)) + 0.5;
    Object.assign(context, { strokeStyle: grid.colors["line-strong"], lineWidth: 1 });
    context.beginPath();
    context.moveTo(across, area.top);
    context.lineTo(across, area.top + area.height);
    context.stroke();
    for (const point of points) if (!isCrowded || isNear(point.line)) drawDot(context, chart, point);
  }
  context.restore();
}

function drawCurve(context, chart, { curve, style }, view) {
  const { start, end } = findVisible(curve.x, view);
  const y = chart.isSmooth ? curve.smooth : curve.mean;
  Object.assign(context, { strokeStyle: chart.grid.colors[`curve-${style.color}`], lineWidth: HIGHLIGHT_WIDTH, lineJoin: "round" });
  context.beginPath();
  for (let i = start; i < end; i += 1) if (!Number.isNaN(y[i])) context.lineTo(chart.toAcross(curve.x[i]), chart.toDown(y[i]));
  context.stroke();
}

function drawDot(context, chart, { line, index, y }) {
  const { colors } = chart.grid;
  context.beginPath();
  context.arc(chart.toAcross(line.curve.x[index]), chart.toDown(y), DOT_RADIUS, 0, 2 * Math.PI);
  Object.assign(context, { fillStyle: colors[`curve-${line.style.color}`], strokeStyle: colors.background, lineWidth: 1.5 });
  context.fill();
  context.stroke();
}

/** brush: [from, to], in pixels from the left edge. */
export function drawBrush(context, chart, brush) {
  const { area, grid } = chart;
  const clamp = (across) => Math.min(area.left + area.width, Math.max(area.left, across));
  const [from, to] = brush.map(clamp).sort((a, b) => a - b);
  Object.assign(context, { fillStyle: grid.colors["curve-0"], globalAlpha: 0.14 });
  context.fillRect(from, area.top, to - from, area.height);
  context.globalAlpha = 1;
}
