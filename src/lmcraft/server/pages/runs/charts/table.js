// The numbers of a chart as a table, and as a CSV file.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { downloadBlob } from "../../views/download.js";
import { nameAxis } from "./axes.js";
import { findNearest } from "./curve.js";
import { valueOf } from "./readout.js";
import { unproject } from "./scale.js";
import { formatFigure } from "../format.js";

const MAX_ROWS = 40;
const MAX_COLUMNS = 30;

export class ChartTable {
  constructor(chart) {
    Object.assign(this, { chart, isOpen: false });
    this.node = el("div", { class: "chart-table", hidden: true });
  }

  toggle() {
    this.isOpen = !this.isOpen;
    this.node.hidden = !this.isOpen;
    this.draw();
    this.chart.tools.firstChild.setAttribute("aria-expanded", String(this.isOpen));
  }

  draw() {
    if (!this.isOpen) return;
    const { chart } = this;
    const lines = chart.visibleLines().slice(0, MAX_COLUMNS);
    const head = el("tr", {}, el("th", { scope: "col" }, nameAxis(chart.grid)), ...lines.map((line) => el("th", { scope: "col", dir: "auto" }, line.title())));
    const rows = this.#pickPlaces(lines).map((x) => el("tr", {}, el("th", { scope: "row" }, this.#formatX(x)), ...lines.map((line) => el("td", {}, this.#read(line, x)))));
    const caption = el("caption", { class: "visually-hidden" }, chart.spec.title());
    const table = el("div", { class: "scroll-box", tabindex: "0", role: "region", "aria-label": chart.spec.title() }, el("table", {}, caption, el("thead", {}, head), el("tbody", {}, ...rows)));
    const save = el("button", { type: "button", class: "quiet", onclick: () => this.#save() }, t("saveCsv"));
    this.node.replaceChildren(table, el("div", { class: "row" }, save, el("p", { class: "note" }, t("tableNote"))));
  }

  /** Drawn x values in sight, evenly far apart, at each of which a curve has a point. */
  #pickPlaces(lines) {
    const { x0, x1 } = this.chart.grid.view;
    const all = [...new Set(lines.flatMap(({ curve }) => [...curve.x]))].filter((x) => x >= x0 && x <= x1).sort((a, b) => a - b);
    const stride = Math.max(1, (all.length - 1) / (MAX_ROWS - 1));
    return [...new Set(Array.from({ length: Math.min(MAX_ROWS, all.length) }, (_, row) => all[Math.round(row * stride)]))];
  }

  #read({ curve }, x) {
    const index = findNearest(curve.x, x, 0);
    const isHere = index >= 0 && Math.abs(curve.x[index] - x) <= (this.chart.grid.view.x1 - this.chart.grid.view.x0) / MAX_ROWS;
    return isHere ? valueOf(this.chart, curve.mean[index]) : "";
  }

  #formatX(x) {
    const { options, unit } = this.chart.grid;
    return formatFigure(unproject(x, options.isLogX) / unit.divisor, 7);
  }

  /** All points that the page has, in the units of the chart. */
  #save() {
    const { grid, spec } = this.chart;
    const { isLogX, isLogY, axis } = grid.options;
    const rows = this.chart.visibleLines().flatMap(({ curve, title }) =>
      [...curve.x.keys()].map((i) => [title(), curve.steps[i], unproject(curve.x[i], isLogX), ...[curve.mean, curve.low, curve.high].map((values) => unproject(values[i], isLogY))]),
    );
    const text = [["run", "step", axis, spec.name, "low", "high"], ...rows].map((row) => row.map(quote).join(",")).join("\n");
    downloadBlob(new Blob([`${text}\n`], { type: "text/csv" }), `${spec.id.replaceAll(/\W+/g, "-")}.csv`);
  }
}

function quote(value) {
  const text = typeof value === "number" && Number.isNaN(value) ? "" : String(value);
  const isFormula = typeof value === "string" && /^[=+\-@\t\r]/.test(text); // which a spreadsheet would run
  return /[",\n\r]/.test(text) || isFormula ? `"${isFormula ? "'" : ""}${text.replaceAll('"', '""')}"` : text;
}
