// One run: how far it is, its curves, what it wrote, its settings.

import { buildAddress } from "../../net/address.js";
import { formatDateTime, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildFacts } from "../../views/facts.js";
import { buildIcon } from "../../views/icons.js";
import { ChartGrid } from "../charts/grid.js";
import { styleOf } from "../charts/colors.js";
import { ChartToolbar } from "../charts/toolbar.js";
import { formatBytes, formatDuration, formatEnergy, formatFigure, formatGrams, formatLoss, formatSpeed, nameMethod } from "../format.js";
import { fetchSettings } from "../net/runs.js";
import { Curves } from "../state/curves.js";
import { describeMetric, groupForRun } from "../state/metrics.js";
import { RunControl } from "./control.js";
import { titleOfMetric } from "./metric_names.js";
import { buildProgress, buildState, describeSteps, describeTimeLeft, isOpen, nameKind } from "./run_marks.js";
import { Samples } from "./samples.js";
import { SettingsTable } from "./settings_table.js";

const MAX_MESSAGE_CHARACTERS = 500; // from which a message scrolls in its box
const WORLD = "WORLD"; // the server's name of the average of all regions

export class RunView {
  constructor(app) {
    this.app = app;
  }

  get keys() {
    return [["keyRead", ["←", "→"]], ["keyMove", ["Shift", "←"]], ["keyZoom", ["+", "−"]], ["keyAll", ["0"]], ["logY", ["L"]], ["keyBack", ["Esc"]]];
  }

  mount(container, [id]) {
    Object.assign(this, { container, id });
    if (!this.app.live.runs.has(id)) return this.#showMissing();
    this.control = new RunControl();
    this.samples = new Samples(id, (error) => this.app.showError(error));
    this.settings = new SettingsTable();
    this.curves = new Curves({ changed: () => this.#curvesChanged(), failed: (error) => this.app.showError(error) });
    this.toolbar = new ChartToolbar({ changed: (options) => this.grid.setOptions(options), resetZoom: () => this.grid.zoom(null) });
    this.grid = new ChartGrid({ curves: this.curves, options: this.toolbar.options, announce: (text) => this.app.announce(text), zoomed: (isZoomed) => this.toolbar.showZoom(isZoomed) });
    this.head = el("header", { class: "run-head" });
    this.facts = el("div", { class: "run-facts" });
    this.waiting = el("p", { class: "note", role: "status" });
    this.#draw();
    this.curves.load([id]);
    this.samples.refresh();
    this.#loadSettings();
  }

  unmount() {
    this.curves?.stop();
    this.grid?.stop();
  }

  translate() {
    if (!this.grid) return this.#showMissing();
    this.toolbar.translate();
    this.grid.translate();
    this.samples.draw();
    if (this.config) this.settings.showOne(this.config);
    this.#draw();
  }

  runsChanged(ids) {
    if (!ids.has(this.id)) return;
    if (!this.grid) this.app.live.runs.has(this.id) && this.mount(this.container, [this.id]);
    else if (!this.app.live.runs.has(this.id)) this.#showGone();
    else {
      this.#drawHead();
      this.curves.refresh(this.id);
      this.samples.refresh();
    }
  }

  handleKey(event) {
    const key = event.key.toLowerCase();
    if (key === "escape") location.hash = buildAddress("runs");
    else if (key === "l" && this.grid) this.toolbar.toggle("isLogY");
  }

  #draw() {
    this.#drawHead();
    const back = el("a", { class: "back", href: buildAddress("runs") }, t("allRuns"));
    const charts = el("section", { class: "curves" }, el("h2", {}, t("curves")), this.toolbar.node, this.waiting, this.grid.node, el("p", { class: "note hint" }, t("chartHint")));
    this.container.replaceChildren(back, this.head, this.facts, charts, this.samples.node, this.settings.node);
    this.#drawWaiting();
  }

  #drawHead() {
    const run = this.app.live.runs.get(this.id);
    this.app.setTitle(run.name);
    this.control.show(run);
    const title = el("div", { class: "run-title" }, el("h1", { dir: "auto" }, run.name), buildState(run.state));
    const left = describeTimeLeft(run);
    const progress = el("div", { class: "run-progress" }, buildProgress(run), el("p", { class: "note" }, left ? t("progressAndTime", { steps: describeSteps(run), left }) : describeSteps(run)));
    const message = run.message && buildMessage(run);
    const key = [title, progress, message].map((node) => node && node.outerHTML).join();
    if (key !== this.headKey) {
      this.headKey = key;
      this.head.replaceChildren(el("div", { class: "run-top" }, title, this.control.node), progress, ...(message ? [message] : []));
    }
    this.facts.replaceChildren(buildFacts(describeRun(run)));
  }

  #drawWaiting() {
    const known = this.curves.runs.get(this.id)?.names ?? [];
    this.waiting.textContent = known.length ? "" : isOpen(this.app.live.runs.get(this.id)) ? t("noCurvesYet") : t("noCurves");
  }

  #curvesChanged() {
    const { names } = this.curves.runs.get(this.id);
    const key = names.join("\n");
    if (key !== this.namesKey) {
      this.namesKey = key;
      this.grid.setCharts(groupForRun(names).map((group) => this.#buildChart(group)));
      this.#drawWaiting();
    }
    this.grid.update(this.id);
  }

  #buildChart({ id, title, figure, names }) {
    const lines = names.map((name, number) => ({
      key: name,
      run: this.id,
      name,
      title: () => titleOfMetric(name),
      isNamed: names.length > 1,
      style: styleOf(number, names.length),
    }));
    return { id, name: names[0], title: () => (title ? t(title, { figure }) : titleOfMetric(names[0])), metric: describeMetric(names[0]), lines };
  }

  async #loadSettings() {
    try {
      this.config = await fetchSettings(this.id);
      this.settings.showOne(this.config);
    } catch (error) {
      this.app.showError(error);
    }
  }

  #showMissing() {
    const back = el("a", { class: "button", href: buildAddress("runs") }, t("allRuns"));
    this.container.replaceChildren(el("section", { class: "pause" }, el("h1", {}, t("runGoneTitle")), el("p", { dir: "auto" }, t("runGoneText", { id: this.id })), back));
  }

  #showGone() {
    this.unmount();
    this.grid = null;
    this.#showMissing();
  }
}

function buildMessage({ state, message }) {
  const isProblem = state === "failed" || state === "killed";
  const isLong = message.length > MAX_MESSAGE_CHARACTERS;
  return el("p", { class: isProblem ? "run-message problem" : "run-message", dir: "auto", tabindex: isLong ? "0" : null }, buildIcon(isProblem ? "alert" : "help"), el("span", {}, message));
}

function describeRun(run) {
  const { energy, emissions, best } = run;
  const hasInterval = typeof energy?.low === "number" && typeof energy?.high === "number"; // a run without energy.json has none
  const interval = hasInterval && t("energyInterval", { low: formatEnergy(energy.low), high: formatEnergy(energy.high), method: nameMethod(energy.method) });
  return [
    [t("trainingLoss"), run.loss !== null && run.loss !== undefined ? formatLoss(run.loss) : null],
    [t("columnBest"), best && t("lossAtStep", { loss: formatLoss(best.validation_loss), step: formatFigure(best.step, 7) })],
    [t("tokensSeen"), run.tokens ? formatFigure(run.tokens) : null],
    [t("speed"), run.tokens_per_second ? formatSpeed(run.tokens_per_second) : null],
    [t("memory"), run.peak_memory ? formatBytes(run.peak_memory) : null],
    [t("energy"), energy && el("span", {}, formatEnergy(energy.joules), ...(interval ? [" ", el("small", {}, interval)] : []))],
    [t("emissions"), emissions && el("span", {}, formatGrams(emissions.grams), " ", el("small", {}, t("emissionsSource", { region: emissions.region === WORLD ? t("world") : emissions.region, year: emissions.year })))],
    [t("trainingTime"), run.seconds ? formatDuration(run.seconds) : null],
    [t("parameters"), run.parameters ? formatFigure(run.parameters) : null],
    [t("kind"), nameKind(run.kind)],
    [t("started"), run.created ? formatDateTime(run.created) : null],
    [t("host"), run.host],
    [t("command"), run.command && el("code", {}, run.command)],
  ];
}
