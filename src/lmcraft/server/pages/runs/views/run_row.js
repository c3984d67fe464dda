// A row of the list of runs. Only the cells that say something else than before are drawn again.

import { buildAddress } from "../../net/address.js";
import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { formatAge } from "../../views/times.js";
import { formatEnergy, formatFigure, formatLoss } from "../format.js";
import { buildProgress, buildState, describeSteps, describeTimeLeft, folderOf, nameKind } from "./run_marks.js";

// The columns after the checkbox. value: what is sorted by; build: the content of a cell; isText: sorted from A to Z.
export const COLUMNS = [
  { id: "name", label: "columnName", value: ({ name }) => name, isText: true, build: buildName },
  { id: "state", label: "columnState", value: ({ state }) => state, isText: true, build: ({ state }) => [buildState(state)] },
  { id: "progress", label: "columnProgress", value: ({ step, max_steps: max }) => (max ? step / max : null), build: buildProgressCell },
  { id: "loss", label: "columnLoss", value: ({ loss }) => loss, isLeast: true, build: ({ loss }) => [formatLoss(loss)] },
  { id: "best", label: "columnBest", value: ({ best }) => best?.validation_loss, isLeast: true, build: buildBest },
  { id: "speed", label: "columnSpeed", value: ({ tokens_per_second: speed }) => speed, build: ({ tokens_per_second: speed }) => [formatFigure(speed, 3)] },
  { id: "energy", label: "columnEnergy", value: ({ energy }) => energy?.joules, build: ({ energy }) => [formatEnergy(energy?.joules)] },
  { id: "created", label: "columnCreated", value: ({ created }) => created, build: ({ created }) => (created ? [formatAge(created)] : []) },
];

function buildName(run) {
  const details = [folderOf(run), nameKind(run.kind)].filter(Boolean).join(" · ");
  return [el("strong", { dir: "auto" }, run.name), details && el("small", { dir: "auto" }, details), run.message && !["running", "finished"].includes(run.state) && el("small", { class: "problem", dir: "auto" }, run.message)];
}

function buildProgressCell(run) {
  const left = describeTimeLeft(run);
  return [buildProgress(run), el("small", {}, left ? t("progressAndTime", { steps: describeSteps(run), left }) : describeSteps(run))];
}

function buildBest({ best }) {
  return best ? [formatLoss(best.validation_loss), el("small", {}, t("atStep", { value: formatFigure(best.step, 7) }))] : ["–"];
}

export class RunRow {
  /** select(isSelected, event): the checkbox has been used. */
  constructor(run, select) {
    this.box = el("input", { type: "checkbox", tabindex: "-1", onclick: (event) => select(this.box.checked, event) });
    this.link = el("a", { href: buildAddress("run", run.id), tabindex: "-1" });
    this.cells = new Map(COLUMNS.map(({ id }) => [id, el("td", { role: "cell", "data-column": id })]));
    this.cells.get("name").append(this.link);
    this.node = el("tr", { role: "row" }, el("td", { role: "cell", "data-column": "select" }, el("label", {}, this.box)), ...this.cells.values());
    this.drawn = new Map();
    this.node.dataset.id = run.id;
    this.update(run);
  }

  update(run) {
    this.run = run;
    this.box.setAttribute("aria-label", t("selectRun", { name: run.name }));
    for (const { id, label, build } of COLUMNS) {
      const content = el("span", {}, ...build(run));
      if (this.drawn.get(id) === content.innerHTML) continue;
      this.drawn.set(id, content.innerHTML);
      const target = id === "name" ? this.link : this.cells.get(id);
      target.replaceChildren(...content.childNodes);
      this.cells.get(id).dataset.label = t(label);
    }
    this.node.dataset.state = run.state;
  }

  /** In another language. */
  redraw() {
    this.drawn.clear();
    this.update(this.run);
  }

  set isSelected(isSelected) {
    this.box.checked = isSelected;
    this.node.classList.toggle("selected", isSelected);
  }

  /** Whether Tab reaches this row. */
  set isCurrent(isCurrent) {
    this.link.tabIndex = isCurrent ? 0 : -1;
  }
}
