// One chart: axes, the picture of the curves, and what the pointer shows. Curves are drawn elsewhere (painter.js), so that a frame is short.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIconButton } from "../../views/icons.js";
import { nameUnit } from "../format.js";
import { drawAxes, drawBrush, drawPointer } from "./axes.js";
import { buildCurve, findNearest, smoothCurve } from "./curve.js";
import { listenForGestures } from "./gestures.js";
import { findVisible } from "./paint.js";
import { Readout } from "./readout.js";
import { project } from "./scale.js";
import { summarize } from "./summary.js";
import { buildSwatch } from "./swatch.js";
import { ChartTable } from "./table.js";

const MARGIN = { left: 56, right: 14, top: 10, bottom: 40 };
const PADDING = 0.06; // of the y axis, above and below the curves
const MAX_READ = 6; // curves, up to which each chart shows the values of all at the pointer
const POINTER_PIXELS = 14; // how far from its ends a curve is still read

export class Chart {
  /** grid: of grid.js; spec: {id, title(), name, metric} with metric of state/metrics.js. */
  constructor(grid, spec) {
    Object.assign(this, { grid, spec, lines: [], version: 0, isSeen: false, picture: null, asked: "", box: null, brush: null });
    this.heading = el("h3");
    this.legend = el("ul", { class: "chart-legend" });
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.summary = el("p", { class: "visually-hidden", id: `summary-${spec.id}` });
    this.readout = new Readout();
    this.plot = el("div", { class: "plot", tabindex: "0", role: "group", "aria-describedby": this.summary.id }, this.canvas, this.readout.node);
    this.table = new ChartTable(this);
    this.tools = el("div", { class: "row tools" });
    this.node = el("section", { class: "chart" }, el("header", {}, this.heading, this.legend, this.tools), this.plot, this.summary, this.table.node);
    this.unlisten = listenForGestures(this);
    this.translate();
  }

  /** lines: [{key, run, name, title, style: {color, dash}, isNamed}]; title: what the pointer shows; isNamed: also in the legend of the chart. */
  setLines(lines) {
    const gone = this.lines.filter((line) => !lines.some(({ key }) => key === line.key));
    this.grid.painter.forget(gone.map((line) => this.#keyOf(line)));
    const kept = new Map(this.lines.map((line) => [line.key, line]));
    this.lines = lines.map((line) => ({ ...line, curve: kept.get(line.key)?.curve ?? null }));
    for (const line of this.lines) if (!line.curve) this.#build(line);
    this.#drawLegend();
    this.changed();
  }

  update(run) {
    for (const line of this.lines) if (line.run === run) this.#build(line);
    this.changed();
  }

  rebuild() {
    for (const line of this.lines) this.#build(line);
    this.changed();
  }

  /** The curves are smoothed anew before they are drawn next. */
  resmooth() {
    this.isSmoothOld = true;
    this.changed();
  }

  /** Other curves are shown than in the picture. */
  changed() {
    this.version += 1;
    this.isSummaryOld = true;
  }

  visibleLines() {
    return this.lines.filter(({ curve, run }) => curve && !this.grid.hidden.has(run));
  }

  /** The part of the canvas in which curves are drawn, in CSS pixels. */
  get area() {
    const { width, height } = this.box;
    return { left: MARGIN.left, top: MARGIN.top, width: Math.max(1, width - MARGIN.left - MARGIN.right), height: Math.max(1, height - MARGIN.top - MARGIN.bottom) };
  }

  resize() {
    this.box = null;
    this.grid.redraw();
  }

  draw() {
    if (this.isSmoothOld) this.#smooth();
    this.#fit();
    const view = this.#findView();
    this.view = view;
    this.#ask(view);
    const context = this.canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.box.width, this.box.height);
    drawAxes(context, this);
    this.#drawPicture(context, view);
    this.#point(context);
    if (this.brush) drawBrush(context, this, this.brush);
    if (this.isSummaryOld) this.#summarize();
  }

  /** The drawn x at a distance from the left edge of the plot, in pixels. */
  toX(pixels) {
    const { left, width } = this.area;
    const { x0, x1 } = this.grid.view;
    return x0 + ((pixels - left) / width) * (x1 - x0);
  }

  /** What lies at a drawn x: [{line, index, y}], nearest to `down` pixels first if that is given; of all runs or of some. */
  read(x, down = null, runs = null) {
    const { x0, x1 } = this.grid.view;
    const tolerance = ((x1 - x0) * POINTER_PIXELS) / this.area.width;
    const points = [];
    for (const line of this.visibleLines()) {
      if (runs && !runs.has(line.run)) continue;
      const index = findNearest(line.curve.x, x, tolerance);
      if (index < 0) continue;
      const y = (this.isSmooth ? line.curve.smooth : line.curve.mean)[index];
      if (!Number.isNaN(y)) points.push({ line, index, y });
    }
    if (down === null || !this.view) return points;
    const distance = ({ y }) => Math.abs(this.toDown(y) - down);
    return points.sort((a, b) => distance(a) - distance(b));
  }

  toDown(y) {
    const { top, height } = this.area;
    return top + ((this.view.y1 - y) / (this.view.y1 - this.view.y0)) * height;
  }

  toAcross(x) {
    const { left, width } = this.area;
    return left + ((x - this.view.x0) / (this.view.x1 - this.view.x0)) * width;
  }

  get isSmooth() {
    return this.grid.options.smoothing > 0;
  }

  translate() {
    const unit = nameUnit(this.spec.metric.unit);
    this.heading.replaceChildren(this.spec.title(), ...(unit ? [el("small", {}, unit)] : []));
    this.plot.setAttribute("aria-label", t("chartLabel", { name: this.spec.title() }));
    this.plot.setAttribute("aria-roledescription", t("chart"));
    this.tools.replaceChildren(
      buildIconButton("table", t("showTable"), () => this.table.toggle(), { "aria-expanded": String(this.table.isOpen) }),
      buildIconButton("expand", t("enlarge"), () => this.#enlarge(), { "aria-pressed": String(this.node.classList.contains("large")) }),
    );
    this.#drawLegend();
    this.table.draw();
    this.isSummaryOld = true;
  }

  remove() {
    this.unlisten();
    this.grid.painter.forget(this.lines.map((line) => this.#keyOf(line)));
    this.picture?.bitmap.close?.();
    this.node.remove();
  }

  #keyOf(line) {
    return `${this.spec.id} ${line.key}`;
  }

  #build(line) {
    const run = this.grid.curves.runs.get(line.run);
    const series = run?.series.get(line.name);
    line.curve = series?.steps.length ? buildCurve(run, series, this.grid.options, this.spec.metric.divisor) : null;
    if (line.curve) this.grid.painter.setCurve(this.#keyOf(line), line.curve);
  }

  #smooth() {
    this.isSmoothOld = false;
    for (const line of this.lines.filter(({ curve }) => curve)) {
      const series = this.grid.curves.runs.get(line.run)?.series.get(line.name);
      line.curve.smooth = smoothCurve(line.curve, series, this.grid.options, this.spec.metric.divisor);
      this.grid.painter.setSmooth(this.#keyOf(line), line.curve.smooth);
    }
  }

  #fit() {
    const ratio = window.devicePixelRatio || 1;
    if (this.box && ratio === this.ratio) return;
    this.ratio = ratio;
    this.box = { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
    Object.assign(this.canvas, { width: Math.round(this.box.width * ratio), height: Math.round(this.box.height * ratio) });
  }

  #findView() {
    const { x0, x1 } = this.grid.view;
    const key = `${this.version} ${x0} ${x1}`;
    if (this.bounds?.key === key) return this.bounds.view;
    let [low, high] = [Infinity, -Infinity];
    for (const { curve } of this.visibleLines()) {
      const { start, end } = findVisible(curve.x, { x0, x1 });
      const [lows, highs] = this.isSmooth && this.lines.length > 1 ? [curve.smooth, curve.smooth] : [curve.low, curve.high];
      for (let i = start; i < end; i += 1) {
        if (lows[i] < low) low = lows[i];
        if (highs[i] > high) high = highs[i];
      }
    }
    if (low > high) [low, high] = [project(1, this.grid.options.isLogY), project(10, this.grid.options.isLogY)];
    const margin = low === high ? Math.abs(low) * PADDING || 0.5 : (high - low) * PADDING;
    this.bounds = { key, view: { x0, x1, y0: low - margin, y1: high + margin } };
    return this.bounds.view;
  }

  /** Asks for a picture, unless there is one of the same view. */
  #ask(view) {
    const { width, height } = this.area;
    const { colors } = this.grid;
    const asked = JSON.stringify([this.version, view, width, height, this.ratio, colors["curve-0"]]);
    if (asked === this.asked) return;
    this.asked = asked;
    const lines = this.legend.hidden ? this.visibleLines().reverse() : this.visibleLines(); // the first run is above the others
    const curves = lines.map((line) => ({ key: this.#keyOf(line), color: colors[`curve-${line.style.color}`], dash: line.style.dash, isSmooth: this.isSmooth }));
    this.grid.painter.request(this.spec.id, { view, width, height, ratio: this.ratio, curves }, (picture) => {
      this.picture?.bitmap.close?.();
      this.picture = picture;
      if (!picture) this.asked = "";
      this.grid.redraw();
    });
  }

  /** The latest picture, moved and stretched to the view. */
  #drawPicture(context, view) {
    if (!this.picture) return;
    const { left, top, width, height } = this.area;
    const { view: drawn, bitmap } = this.picture;
    const [a, b] = [width / (view.x1 - view.x0), height / (view.y1 - view.y0)];
    context.save();
    context.beginPath();
    context.rect(left, top - 2, width + 2, height + 4);
    context.clip();
    context.drawImage(bitmap, left + a * (drawn.x0 - view.x0), top + b * (view.y1 - drawn.y1), a * (drawn.x1 - drawn.x0), b * (drawn.y1 - drawn.y0));
    context.restore();
  }

  #point(context) {
    const { hover, highlight } = this.grid;
    const isOwn = hover?.chart === this;
    const isCrowded = this.lines.length > MAX_READ;
    const points = hover ? this.read(hover.x, isOwn ? hover.down : null, isCrowded && !isOwn ? hover.runs : null) : [];
    drawPointer(context, this, { hover, points, highlight });
    this.readout.show(this, hover, points);
  }

  #drawLegend() {
    const named = this.lines.filter(({ isNamed }) => isNamed);
    this.legend.hidden = !named.length;
    this.legend.replaceChildren(...named.map((line) => el("li", {}, buildSwatch(line.style), line.title())));
  }

  #summarize() {
    this.isSummaryOld = false;
    this.summary.textContent = summarize(this);
    this.table.draw();
  }

  #enlarge() {
    this.node.classList.toggle("large");
    this.translate();
    this.tools.lastChild.focus();
  }
}
