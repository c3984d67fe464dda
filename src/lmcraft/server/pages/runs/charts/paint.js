// Draws curves on a canvas, in a worker or in the page. A curve is {x, low, high, mean, smooth}: arrays of numbers as they are drawn.

import { findFirst } from "../state/search.js";

const MAX_BANDS = 6; // with more curves, their bands would hide each other
const MAX_DOTTED = 40; // points in sight, up to which each is shown as a dot
const MAX_DOTTED_AMONG_MANY = 2; // a line through a single point shows nothing
const DOT_RADIUS = 2.25;
const LINE_WIDTH = 1.75;
const FAINT = 0.28;
const BAND = 0.16;
const POINTS_PER_PIXEL = 1.5; // from here on, a column of pixels is one stroke

/**
 * view: {x0, x1, y0, y1}, drawn numbers at the edges; width, height: of the canvas in CSS pixels, which are `ratio` pixels each.
 * curves: [{curve, color, dash, isSmooth}], the last one on top.
 */
export function paint(context, { view, width, height, ratio, curves }) {
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  Object.assign(context, { lineJoin: "round", lineCap: "butt" });
  const scale = { a: width / (view.x1 - view.x0), b: -height / (view.y1 - view.y0), width, height, ...view };
  const hasBands = curves.length <= MAX_BANDS;
  for (const { curve, color, dash, isSmooth } of curves) {
    const range = findVisible(curve.x, view);
    if (range.end <= range.start) continue;
    context.strokeStyle = context.fillStyle = color;
    if (hasBands && curve.hasBand) drawBand(context, curve, range, scale);
    if (isSmooth && hasBands) stroke(context, curve, curve.mean, range, scale, { dash: [], alpha: FAINT, width: 1 });
    stroke(context, curve, isSmooth ? curve.smooth : curve.mean, range, scale, { dash, alpha: 1, width: curves.length > MAX_DOTTED ? 1 : LINE_WIDTH });
    if (range.end - range.start <= (hasBands ? MAX_DOTTED : MAX_DOTTED_AMONG_MANY)) drawDots(context, curve, range, scale);
  }
  context.globalAlpha = 1;
}

/** The points in sight, and one on either side. */
export const findVisible = (x, { x0, x1 }) => ({ start: Math.max(0, findFirst(x, x0) - 1), end: Math.min(x.length, findFirst(x, x1) + 2) });

function stroke(context, { x }, y, { start, end }, scale, { dash, alpha, width }) {
  context.globalAlpha = alpha;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  if (end - start > POINTS_PER_PIXEL * scale.width) traceColumns(context, x, y, start, end, scale);
  else trace(context, x, y, start, end, scale);
  context.stroke();
  context.setLineDash([]);
}

function trace(context, x, y, start, end, { a, b, x0, y1 }) {
  let isDown = false;
  for (let i = start; i < end; i += 1) {
    if (Number.isNaN(y[i]) || Number.isNaN(x[i])) {
      isDown = false;
      continue;
    }
    const [across, down] = [a * (x[i] - x0), b * (y[i] - y1)];
    if (isDown) context.lineTo(across, down);
    else context.moveTo(across, down);
    isDown = true;
  }
}

/** One vertical stroke for all points of a column of pixels. */
function traceColumns(context, x, y, start, end, { a, b, x0, y1 }) {
  let column = NaN;
  let [first, low, high, last] = [0, 0, 0, 0];
  let isDown = false;
  const flush = () => {
    if (Number.isNaN(column)) return;
    if (isDown) context.lineTo(column, first);
    else context.moveTo(column, first);
    if (low !== high) {
      context.lineTo(column, low);
      context.lineTo(column, high);
      context.lineTo(column, last);
    }
    isDown = true;
  };
  for (let i = start; i < end; i += 1) {
    if (Number.isNaN(y[i])) continue;
    const across = Math.round(a * (x[i] - x0));
    const down = b * (y[i] - y1);
    if (across !== column) {
      flush();
      [column, first, low, high] = [across, down, down, down];
    }
    if (down < low) low = down;
    if (down > high) high = down;
    last = down;
  }
  flush();
}

function drawBand(context, { x, low, high }, { start, end }, { a, b, x0, y1 }) {
  context.globalAlpha = BAND;
  context.beginPath();
  let from = start;
  while (from < end) {
    while (from < end && (Number.isNaN(low[from]) || Number.isNaN(high[from]))) from += 1;
    let to = from;
    while (to < end && !Number.isNaN(low[to]) && !Number.isNaN(high[to])) to += 1;
    for (let i = from; i < to; i += 1) context[i === from ? "moveTo" : "lineTo"](a * (x[i] - x0), b * (high[i] - y1));
    for (let i = to - 1; i >= from; i -= 1) context.lineTo(a * (x[i] - x0), b * (low[i] - y1));
    from = to;
  }
  context.fill();
}

function drawDots(context, { x, mean }, { start, end }, { a, b, x0, y1 }) {
  context.globalAlpha = 1;
  context.beginPath();
  for (let i = start; i < end; i += 1) {
    if (Number.isNaN(mean[i])) continue;
    const [across, down] = [a * (x[i] - x0), b * (mean[i] - y1)];
    context.moveTo(across + DOT_RADIUS, down);
    context.arc(across, down, DOT_RADIUS, 0, 2 * Math.PI);
  }
  context.fill();
}
