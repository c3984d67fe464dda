// Several runs: their curves in the same charts, their figures side by side, and the settings in which they differ.

import { buildAddress } from "../../net/address.js";
import { formatNumber, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { ChartGrid } from "../charts/grid.js";
import { styleOf } from "../charts/colors.js";
import { buildSwatch } from "../charts/swatch.js";
import { ChartToolbar } from "../charts/toolbar.js";
import { formatDuration, formatEnergy, formatFigure, formatLoss } from "../format.js";
import { compareSettings } from "../net/runs.js";
import { Curves } from "../state/curves.js";
import { describeMetric, groupForComparison } from "../state/metrics.js";
import { titleOfMetric } from "./metric_names.js";
import { buildState, describeSteps, folderOf } from "./run_marks.js";
import { SettingsTable } from "./settings_table.js";

const DRAW_MS = 200; // while the curves of many runs arrive

export class CompareView {
  constructor(app) {
    Object.assign(this, { app, hidden: new Set() });
  }

  get keys() {
    return [["keyRead", ["←", "→"]], ["keyMove", ["Shift", "←"]], ["keyZoom", ["+", "−"]], ["keyAll", ["0"]], ["logY", ["L"]], ["keyBack", ["Esc"]]];
  }

  mount(container, ids) {
    Object.assign(this, { container, asked: [...new Set(ids)], changed: new Set() });
    this.settings = new SettingsTable();
    this.curves = new Curves({ changed: (id) => this.#curvesChanged(id), failed: (error) => this.app.showError(error) });
    this.toolbar = new ChartToolbar({ changed: (options) => this.grid.setOptions(options), resetZoom: () => this.grid.zoom(null) });
    this.grid = new ChartGrid({ curves: this.curves, options: this.toolbar.options, announce: (text) => this.app.announce(text), zoomed: (isZoomed) => this.toolbar.showZoom(isZoomed) });
    this.legend = el("div", { class: "legend" });
    this.waiting = el("p", { class: "note", role: "status" });
    this.#draw();
    this.curves.load(this.ids);
    this.#loadSettings();
  }

  unmount() {
    clearTimeout(this.timer);
    this.curves.stop();
    this.grid.stop();
  }

  translate() {
    this.toolbar.translate();
    this.grid.translate();
    this.#draw();
    if (this.differences) this.#showSettings();
  }

  runsChanged(ids) {
    if (!this.asked.some((id) => ids.has(id))) return;
    this.#drawLegend();
    for (const id of this.ids) if (ids.has(id)) this.curves.refresh(id);
  }

  handleKey(event) {
    const key = event.key.toLowerCase();
    if (key === "escape") location.hash = buildAddress("runs");
    else if (key === "l") this.toolbar.toggle("isLogY");
  }

  /** The runs that there are. */
  get ids() {
    return this.asked.filter((id) => this.app.live.runs.has(id));
  }

  #draw() {
    const title = t("comparison", { n: formatNumber(this.ids.length) });
    this.app.setTitle(title);
    const back = el("a", { class: "back", href: buildAddress("runs") }, t("allRuns"));
    if (!this.ids.length) {
      this.container.replaceChildren(el("section", { class: "pause" }, el("h1", {}, t("nothingToCompare")), el("p", {}, t("compareHint")), el("a", { class: "button", href: buildAddress("runs") }, t("allRuns"))));
      return;
    }
    const missing = this.asked.length - this.ids.length;
    const note = missing > 0 && el("p", { class: "note" }, t("missingRuns", { n: formatNumber(missing) }));
    const charts = el("section", { class: "curves" }, el("h2", {}, t("curves")), this.toolbar.node, this.waiting, this.grid.node, el("p", { class: "note hint" }, t("chartHint")));
    this.container.replaceChildren(back, el("h1", {}, title), ...(note ? [note] : []), this.legend, charts, this.settings.node);
    this.#drawLegend();
    this.#drawWaiting();
  }

  /** The runs with their lines, figures and states; a checkbox shows or hides each. */
  #drawLegend() {
    const heads = ["columnName", "columnState", "columnProgress", "columnLoss", "columnBest", "trainingTime", "columnEnergy"].map((label) => el("th", { scope: "col" }, t(label)));
    this.#nameRuns();
    const rows = this.ids.map((id, number) => this.#buildRow(this.app.live.runs.get(id), number));
    const key = `${t("hideRun")}${rows.map(({ outerHTML }) => outerHTML).join()}`;
    if (key === this.legendKey) return;
    this.legendKey = key;
    const focused = this.legend.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    const scrollTop = this.legend.firstChild?.scrollTop ?? 0;
    const table = el("table", { class: "legend-table" }, el("caption", { class: "visually-hidden" }, t("runs")), el("thead", {}, el("tr", {}, ...heads)), el("tbody", {}, ...rows));
    this.legend.replaceChildren(el("div", { class: "scroll-box", tabindex: "0", role: "region", "aria-label": t("runs") }, table));
    this.legend.firstChild.scrollTop = scrollTop;
    if (focused) this.legend.querySelector(`input[data-id="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }

  #buildRow(run, number) {
    const box = el("input", { type: "checkbox", checked: !this.hidden.has(run.id), "data-id": run.id, "aria-label": t("showRun", { name: run.name }), onchange: () => this.#show(run.id, box.checked) });
    const link = el("a", { href: buildAddress("run", run.id), dir: "auto" }, this.names.get(run.id));
    const name = el("th", { scope: "row" }, el("div", {}, el("label", {}, box, buildSwatch(styleOf(number, this.ids.length))), link));
    const cells = [buildState(run.state), describeSteps(run), formatLoss(run.loss), formatLoss(run.best?.validation_loss), formatDuration(run.seconds), formatEnergy(run.energy?.joules)];
    const highlight = (id) => () => this.grid.setHighlight(id);
    return el("tr", { onpointerenter: highlight(run.id), onpointerleave: highlight(null), onfocusin: highlight(run.id), onfocusout: highlight(null) }, name, ...cells.map((cell) => el("td", {}, cell)));
  }

  /** The runs by their names, with the folder if several have the same name. */
  #nameRuns() {
    const runs = this.ids.map((id) => this.app.live.runs.get(id));
    const counts = new Map();
    for (const { name } of runs) counts.set(name, (counts.get(name) ?? 0) + 1);
    this.names = new Map(runs.map((run) => [run.id, counts.get(run.name) > 1 ? `${folderOf(run)}${run.name}` : run.name]));
  }

  #show(id, isShown) {
    this.hidden[isShown ? "delete" : "add"](id);
    this.grid.hide(this.hidden);
  }

  #drawWaiting() {
    const loaded = this.ids.filter((id) => this.curves.runs.get(id)?.revision !== null && this.curves.runs.has(id)).length;
    this.waiting.textContent = loaded < this.ids.length ? t("loadingCurves", { n: formatNumber(loaded), total: formatNumber(this.ids.length) }) : "";
  }

  #curvesChanged(id) {
    this.changed.add(id);
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.#drawCurves();
    }, DRAW_MS);
  }

  #drawCurves() {
    const names = [...new Set(this.ids.flatMap((id) => this.curves.runs.get(id)?.names ?? []))].sort();
    const key = JSON.stringify([names, this.ids]);
    if (key !== this.chartsKey) {
      this.chartsKey = key;
      this.grid.setCharts(groupForComparison(names).map((group) => this.#buildChart(group)));
    }
    for (const id of this.changed) this.grid.update(id);
    this.changed.clear();
    this.#drawWaiting();
  }

  #buildChart({ id, names: [name] }) {
    const { ids } = this;
    const lines = ids.map((run, number) => ({ key: run, run, name, title: () => this.names.get(run) ?? run, isNamed: false, style: styleOf(number, ids.length) }));
    return { id, name, title: () => titleOfMetric(name), metric: describeMetric(name), lines };
  }

  async #loadSettings() {
    if (!this.ids.length) return;
    try {
      this.differences = await compareSettings(this.ids);
      this.#showSettings();
    } catch (error) {
      this.app.showError(error);
    }
  }

  #showSettings() {
    this.settings.show(this.ids.map((id) => ({ id, title: this.names.get(id) })), this.differences);
  }
}
