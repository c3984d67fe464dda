// Pointer and keys on a chart. Mouse: drag to zoom, Shift-drag to move, Ctrl-wheel to zoom, double-click for all. Touch: drag to
// read or, when zoomed, to move; pinch to zoom. Keys: arrows read, with Shift they move; + and - zoom, 0 shows all.

import { isComposing } from "../../views/keyboard.js";
import { nameX, valueOf } from "./readout.js";

const MIN_DRAG_PIXELS = 5;
const WHEEL_ZOOM = 0.0025; // per pixel of the wheel
const WHEEL_LINE_PIXELS = 16;
const KEY_ZOOM = 0.7;
const KEY_MOVE = 0.2;
const NUM_NEAR = 6; // curves of which the pointer shows the values
const NUM_NEAR_ELSEWHERE = 2; // in the other charts, if there are more
const MAX_SPOKEN = 4;

/** Returns what ends the listening. */
export function listenForGestures(chart) {
  const gestures = new Gestures(chart);
  const { plot } = chart;
  const listeners = {
    pointerdown: (event) => gestures.press(event),
    pointermove: (event) => gestures.move(event),
    pointerup: (event) => gestures.release(event),
    pointercancel: (event) => gestures.release(event, false),
    pointerleave: (event) => event.pointerType === "mouse" && !gestures.pointers.size && chart.grid.point(null),
    dblclick: () => chart.grid.zoom(null),
    wheel: (event) => gestures.wheel(event),
    keydown: (event) => gestures.handleKey(event),
    blur: () => chart.grid.point(null),
  };
  for (const [name, listener] of Object.entries(listeners)) plot.addEventListener(name, listener, { passive: false });
  return () => Object.entries(listeners).forEach(([name, listener]) => plot.removeEventListener(name, listener));
}

class Gestures {
  constructor(chart) {
    Object.assign(this, { chart, grid: chart.grid, pointers: new Map() });
  }

  #locate(event) {
    const { left, top } = this.chart.canvas.getBoundingClientRect();
    return { across: event.clientX - left, down: event.clientY - top };
  }

  press(event) {
    if (event.pointerType === "mouse" && event.button !== 0) return;
    if (!this.chart.view) return;
    const point = this.#locate(event);
    this.pointers.set(event.pointerId, point);
    this.chart.plot.setPointerCapture(event.pointerId);
    this.start = { ...point, view: { ...this.grid.view }, isMove: event.shiftKey || event.pointerType !== "mouse", spread: this.#spread() };
    if (event.pointerType !== "mouse") this.#point(point);
  }

  move(event) {
    if (!this.chart.view) return;
    const point = this.#locate(event);
    if (!this.pointers.has(event.pointerId)) {
      if (event.pointerType === "mouse") this.#point(point);
      return;
    }
    this.pointers.set(event.pointerId, point);
    if (this.pointers.size > 1) this.#pinch();
    else if (!this.start.isMove) this.#select(point);
    else if (this.grid.range) this.#drag(point);
    else this.#point(point);
  }

  release(event, isDone = true) {
    if (!this.pointers.delete(event.pointerId)) return;
    const { brush } = this.chart;
    this.chart.brush = null;
    const rest = [...this.pointers.values()][0];
    if (rest) this.start = { ...rest, view: { ...this.grid.view }, isMove: true, spread: 0 };
    if (!brush || !isDone) return this.grid.redraw();
    const [x0, x1] = brush.map((across) => this.chart.toX(across)).sort((a, b) => a - b);
    this.grid.zoom({ x0: Math.max(x0, this.grid.view.x0), x1: Math.min(x1, this.grid.view.x1) });
  }

  wheel(event) {
    if (!this.chart.view) return;
    const size = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? WHEEL_LINE_PIXELS : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.grid.zoomAround(this.chart.toX(this.#locate(event).across), Math.exp(WHEEL_ZOOM * size * event.deltaY));
      return;
    }
    const across = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (!this.grid.range || Math.abs(across) <= Math.abs(event.shiftKey ? 0 : event.deltaY)) return;
    event.preventDefault();
    this.grid.move((size * across) / this.chart.area.width);
  }

  handleKey(event) {
    if (isComposing(event) || event.ctrlKey || event.altKey || event.metaKey || !this.chart.view) return;
    const { grid } = this;
    const middle = () => grid.hover?.x ?? (grid.view.x0 + grid.view.x1) / 2;
    const actions = {
      ArrowLeft: () => (event.shiftKey ? grid.move(-KEY_MOVE) : this.#step(-1)),
      ArrowRight: () => (event.shiftKey ? grid.move(KEY_MOVE) : this.#step(1)),
      Home: () => this.#step(-Infinity),
      End: () => this.#step(Infinity),
      "+": () => grid.zoomAround(middle(), KEY_ZOOM),
      "=": () => grid.zoomAround(middle(), KEY_ZOOM),
      "-": () => grid.zoomAround(middle(), 1 / KEY_ZOOM),
      0: () => grid.zoom(null),
      Escape: () => grid.point(null),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  }

  /** Reads the curves at the pointer; the line snaps to a point of the nearest one. */
  #point({ across, down }) {
    const points = this.chart.read(this.chart.toX(across), down);
    if (!points.length) return this.grid.point(null);
    const { line, index } = points[0];
    const near = points.slice(0, NUM_NEAR).map((point) => point.line);
    this.grid.point({ chart: this.chart, x: line.curve.x[index], down, keys: new Set([line.key]), runs: new Set(near.slice(0, NUM_NEAR_ELSEWHERE).map(({ run }) => run)) });
  }

  #select({ across }) {
    const isDragged = this.chart.brush || Math.abs(across - this.start.across) >= MIN_DRAG_PIXELS;
    if (!isDragged) return;
    this.chart.brush = [this.start.across, across];
    this.grid.point(null);
  }

  #drag({ across }) {
    const { view } = this.start;
    const distance = ((this.start.across - across) / this.chart.area.width) * (view.x1 - view.x0);
    this.grid.zoom({ x0: view.x0 + distance, x1: view.x1 + distance });
  }

  #spread() {
    const [first, second] = [...this.pointers.values()];
    return second ? { width: Math.max(20, Math.abs(first.across - second.across)), middle: (first.across + second.across) / 2 } : null;
  }

  /** The points under the two fingers stay under them. */
  #pinch() {
    const now = this.#spread();
    const { view, spread } = this.start;
    if (!now || !spread) return;
    const { left, width } = this.chart.area;
    const at = view.x0 + ((spread.middle - left) / width) * (view.x1 - view.x0);
    const size = ((view.x1 - view.x0) * spread.width) / now.width;
    const x0 = at - ((now.middle - left) / width) * size;
    this.grid.point(null);
    this.grid.zoom({ x0, x1: x0 + size });
  }

  /** Reads the next point, or the one `by` points on, and says its values. */
  #step(by) {
    const lines = this.chart.visibleLines().filter(({ curve }) => curve.x.length);
    if (!lines.length) return;
    const { x } = lines.reduce((a, b) => (b.curve.x.length > a.curve.x.length ? b : a)).curve;
    const { x0, x1 } = this.grid.view;
    const inside = [...x.keys()].filter((index) => x[index] >= x0 && x[index] <= x1);
    if (!inside.length) return;
    const current = this.grid.hover ? inside.findLast((index) => x[index] <= this.grid.hover.x) ?? inside[0] : by < 0 ? inside.at(-1) + 1 : inside[0] - 1;
    const index = Math.min(inside.at(-1), Math.max(inside[0], current + by));
    const points = this.chart.read(x[index]);
    this.grid.point({ chart: this.chart, x: x[index], down: null, keys: new Set(), runs: new Set(points.slice(0, NUM_NEAR).map(({ line }) => line.run)) });
    const spoken = points.slice(0, MAX_SPOKEN).map(({ line, y }) => `${line.title()} ${valueOf(this.chart, y)}`);
    this.grid.announce(`${nameX(this.grid, x[index])}: ${spoken.join(", ")}`);
  }
}
