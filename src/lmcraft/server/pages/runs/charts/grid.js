// Charts that share their x axis: zoom, pointer and options are the same for all of them.

import { el } from "../../views/dom.js";
import { chooseUnit } from "../format.js";
import { stepAt } from "./curve.js";
import { Chart } from "./chart.js";
import { readColors, watchTheme } from "./colors.js";
import { Painter } from "./painter.js";
import { project, unproject } from "./scale.js";

const DETAIL_MS = 250; // after which the zoom rests
const MIN_SHARE = 1e-4; // of the whole axis that can be seen

export class ChartGrid {
  /** curves: of state/curves.js; options: {axis, isLogX, isLogY, smoothing}; announce(text) tells screen readers; zoomed(isZoomed) */
  constructor({ curves, options, announce, zoomed }) {
    Object.assign(this, { curves, options, announce, zoomed, charts: new Map(), hidden: new Set(), range: null, hover: null, highlight: null });
    this.painter = new Painter();
    this.node = el("div", { class: "charts" });
    this.colors = readColors();
    this.unwatch = watchTheme(() => {
      this.colors = readColors();
      this.redraw();
    });
    this.observer = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "100px" });
    this.resizes = new ResizeObserver((entries) => entries.forEach(({ target }) => this.#chartOf(target)?.resize()));
  }

  /** charts: [{id, title, metric, lines: [{key, run, name, label, style}]}]; those with the same id and lines stay. */
  setCharts(charts) {
    const wanted = new Set(charts.map(({ id }) => id));
    for (const [id, chart] of this.charts) if (!wanted.has(id)) this.#remove(id, chart);
    charts.forEach((spec, index) => {
      if (!this.charts.has(spec.id)) this.#add(spec);
      const chart = this.charts.get(spec.id);
      chart.setLines(spec.lines);
      if (this.node.children[index] !== chart.node) this.node.insertBefore(chart.node, this.node.children[index] ?? null);
    });
    this.#measure();
    this.redraw();
  }

  /** The curves of a run are new or longer. */
  update(id) {
    for (const chart of this.charts.values()) chart.update(id);
    this.#measure();
    this.redraw();
  }

  setOptions(options) {
    const isOnlySmoothed = ["axis", "isLogX", "isLogY"].every((name) => options[name] === this.options[name]);
    if (isOnlySmoothed) {
      this.options = options;
      for (const chart of this.charts.values()) chart.resmooth();
      this.redraw();
      return;
    }
    if (options.axis !== this.options.axis || options.isLogX !== this.options.isLogX) this.range = this.hover = null;
    this.options = options;
    for (const chart of this.charts.values()) chart.rebuild();
    this.#measure();
    this.zoom(this.range);
  }

  /** Shows the curves of these runs no more. */
  hide(ids) {
    this.hidden = ids;
    this.#measure();
    for (const chart of this.charts.values()) chart.changed();
    this.redraw();
  }

  /** range: {x0, x1} as drawn, or null for all. */
  zoom(range) {
    const { extent } = this;
    const width = range ? Math.max(range.x1 - range.x0, MIN_SHARE * (extent.x1 - extent.x0)) : Infinity;
    if (!range || width >= extent.x1 - extent.x0) this.range = null;
    else {
      const x0 = Math.min(Math.max(range.x0, extent.x0), extent.x1 - width);
      this.range = { x0, x1: x0 + width };
    }
    this.zoomed(this.range !== null);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#rest(), DETAIL_MS);
    this.redraw();
  }

  /** Zooms by a factor around a drawn x; moves by a share of what is in sight. */
  zoomAround(x, factor) {
    const { x0, x1 } = this.view;
    this.zoom({ x0: x - factor * (x - x0), x1: x + factor * (x1 - x) });
  }

  move(share) {
    const { x0, x1 } = this.view;
    const distance = share * (x1 - x0);
    if (this.range) this.zoom({ x0: x0 + distance, x1: x1 + distance });
  }

  /** hover: {x, chart, keys} or null; keys: of the curves next to the pointer. */
  point(hover) {
    this.hover = hover;
    this.redraw();
  }

  setHighlight(run) {
    if (run === this.highlight) return;
    this.highlight = run;
    this.redraw();
  }

  get view() {
    return this.range ?? this.extent;
  }

  /** How x values are shown: {divisor, unit}. */
  get unit() {
    return chooseUnit(this.options.axis, unproject(this.extent.x1, this.options.isLogX));
  }

  translate() {
    for (const chart of this.charts.values()) chart.translate();
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      for (const chart of this.charts.values()) if (chart.isSeen) chart.draw();
    });
  }

  stop() {
    for (const [id, chart] of this.charts) this.#remove(id, chart);
    for (const observer of [this.observer, this.resizes]) observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.unwatch();
    this.painter.stop();
  }

  #add(spec) {
    const chart = new Chart(this, spec);
    this.charts.set(spec.id, chart);
    chart.node.dataset.chart = spec.id;
    this.observer.observe(chart.node);
    this.resizes.observe(chart.canvas);
  }

  #remove(id, chart) {
    this.observer.unobserve(chart.node);
    this.resizes.unobserve(chart.canvas);
    chart.remove();
    this.charts.delete(id);
  }

  #chartOf(node) {
    return this.charts.get(node.closest("[data-chart]").dataset.chart);
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      const chart = this.#chartOf(target);
      if (chart) chart.isSeen = isIntersecting;
    }
    this.redraw();
  }

  /** The ends of the x axis: those of all curves that are shown. */
  #measure() {
    let [x0, x1] = [Infinity, -Infinity];
    for (const chart of this.charts.values()) {
      for (const { curve } of chart.visibleLines()) {
        if (!curve.x.length) continue;
        x0 = Math.min(x0, curve.x[0]);
        x1 = Math.max(x1, curve.x.at(-1));
      }
    }
    if (x0 > x1) [x0, x1] = [project(1, this.options.isLogX), project(10, this.options.isLogX)];
    if (x0 === x1) [x0, x1] = [x0 - 0.5, x1 + 0.5];
    this.extent = { x0, x1 };
  }

  /** The zoom rests: tables show what is in sight, and more points of it are read. */
  #rest() {
    for (const chart of this.charts.values()) chart.table.draw();
    if (!this.range) return;
    const { axis, isLogX } = this.options;
    const [low, high] = [unproject(this.range.x0, isLogX), unproject(this.range.x1, isLogX)];
    for (const [id, run] of this.curves.runs) if (!this.hidden.has(id)) this.curves.look(id, stepAt(run, axis, low), stepAt(run, axis, high));
  }
}
