// All runs of the folder: a table to filter, sort and choose from.

import { buildAddress } from "../../net/address.js";
import { formatNumber, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { readKey } from "../../views/keys.js";
import { countStates, filterRuns, sortRuns } from "../state/run_filter.js";
import { STATES } from "./run_marks.js";
import { COLUMNS, RunRow } from "./run_row.js";

const MAX_ROWS = 300; // until more are asked for
const AGE_SECONDS = 30; // how often ages are written anew

// The list stays as it was while a run is shown.
const shown = { filter: { state: "", text: "" }, sort: "created", isDescending: true, selected: new Set(), current: null, limit: MAX_ROWS };

export class ListView {
  constructor(app) {
    this.app = app;
    this.rows = new Map(); // id -> RunRow
    this.order = []; // ids, as they are shown
  }

  get keys() {
    return [["keyRows", ["↑", "↓"]], ["keyOpenRun", ["Enter"]], ["keySelect", ["X"]], ["keySelectAll", ["A"]], ["keyCompare", ["C"]], ["keySearch", ["/"]]];
  }

  mount(container) {
    this.container = container;
    this.translate();
    this.timer = setInterval(() => this.#redrawRows(), 1000 * AGE_SECONDS);
  }

  unmount() {
    clearInterval(this.timer);
  }

  translate() {
    this.#redrawRows();
    this.states = el("div", { class: "row filters", role: "group", "aria-label": t("columnState") });
    this.search = el("input", { type: "search", value: shown.filter.text, maxlength: "200", autocomplete: "off", placeholder: t("searchRuns"), "aria-label": t("searchRuns"), oninput: () => this.#filter({ text: this.search.value }), onkeydown: (event) => this.#leaveSearch(event) });
    this.note = el("p", { class: "note", role: "status" });
    this.actions = el("div", { class: "row actions" });
    this.heads = COLUMNS.map((column) => this.#buildHead(column));
    this.all = el("input", { type: "checkbox", "aria-label": t("selectAll"), onclick: () => this.#selectAll(this.all.checked) });
    const head = el("tr", { role: "row" }, el("th", { role: "columnheader", scope: "col" }, el("label", {}, this.all)), ...this.heads);
    this.body = el("tbody", { role: "rowgroup", onkeydown: (event) => this.#handleRowKey(event), onfocusin: (event) => this.#takeFocus(event) });
    this.table = el("table", { class: "runs-table", role: "table", "aria-label": t("runs") }, el("thead", { role: "rowgroup" }, head), this.body);
    this.empty = el("div");
    this.more = el("button", { type: "button", class: "quiet", onclick: () => this.#showMore() }, t("showMore"));
    const bar = el("div", { class: "list-head" }, el("div", { class: "row filters" }, this.states, el("div", { class: "search" }, this.search)), el("div", { class: "row list-foot" }, this.note, this.actions));
    this.container.replaceChildren(el("h1", { class: "visually-hidden" }, t("runs")), bar, el("div", { class: "table-box" }, this.table), this.empty, this.more);
    this.#draw();
  }

  /** Runs are new, changed or gone. */
  runsChanged(ids) {
    for (const id of ids) {
      const run = this.app.live.runs.get(id);
      if (run) this.rows.get(id)?.update(run);
      else this.rows.delete(id);
    }
    this.#draw();
  }

  handleKey(event) {
    const key = readKey(event);
    const enter = () => this.#focus(Math.max(0, this.order.indexOf(shown.current)));
    const actions = { "/": () => this.search.focus(), ArrowDown: enter, ArrowUp: enter, j: enter, k: enter, a: () => this.#selectAll(shown.selected.size === 0), c: () => this.#compare() };
    if (!actions[key]) return;
    event.preventDefault();
    actions[key]();
  }

  /** The row that was opened. */
  takeFocus() {
    const index = this.order.indexOf(shown.current);
    if (index >= 0) this.#focus(index);
    return index >= 0;
  }

  #buildHead({ id, label }) {
    const isSorted = shown.sort === id;
    const sort = () => {
      shown.isDescending = isSorted ? !shown.isDescending : ["created", "speed", "energy", "progress"].includes(id);
      shown.sort = id;
      this.heads = COLUMNS.map((column) => this.#buildHead(column));
      this.table.tHead.rows[0].replaceChildren(this.table.tHead.rows[0].cells[0], ...this.heads);
      this.heads[COLUMNS.findIndex((column) => column.id === id)].firstChild.focus();
      this.#draw();
    };
    const arrow = el("span", { class: "arrow", "aria-hidden": "true" }, isSorted ? (shown.isDescending ? "↓" : "↑") : "");
    const attributes = { role: "columnheader", scope: "col", "data-column": id, "aria-sort": isSorted ? (shown.isDescending ? "descending" : "ascending") : null };
    return el("th", attributes, el("button", { type: "button", onclick: sort }, t(label), arrow));
  }

  #draw() {
    const all = [...this.app.live.runs.values()];
    const column = COLUMNS.find(({ id }) => id === shown.sort);
    const runs = sortRuns(filterRuns(all, shown.filter), column, shown.isDescending);
    for (const id of shown.selected) if (!this.app.live.runs.has(id)) shown.selected.delete(id);
    this.order = runs.slice(0, shown.limit).map(({ id }) => id);
    this.matches = runs.map(({ id }) => id);
    this.#drawRows();
    this.#drawStates(all);
    this.#drawEmpty(all);
    this.more.hidden = runs.length <= shown.limit;
    this.table.hidden = !runs.length;
    const count = runs.length === all.length ? t("runCount", { n: formatNumber(all.length) }) : t("runsOf", { n: formatNumber(runs.length), total: formatNumber(all.length) });
    this.note.textContent = [all.length > 0 && count, this.app.live.isTruncated && t("truncatedNote")].filter(Boolean).join(" · ");
    this.#drawActions();
  }

  /** Rows are moved only if their order has changed, so that the one with the focus keeps it. */
  #drawRows() {
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    if (!this.order.includes(shown.current)) shown.current = this.order[0] ?? null;
    const nodes = this.order.map((id) => {
      if (!this.rows.has(id)) this.rows.set(id, new RunRow(this.app.live.runs.get(id), (isSelected, event) => this.#select(id, isSelected, event)));
      const row = this.rows.get(id);
      row.isSelected = shown.selected.has(id);
      row.isCurrent = id === shown.current;
      return row.node;
    });
    const isSame = nodes.length === this.body.children.length && nodes.every((node, index) => node === this.body.children[index]);
    if (isSame) return;
    this.body.replaceChildren(...nodes);
    focused?.focus({ preventScroll: true });
  }

  #redrawRows() {
    for (const row of this.rows.values()) row.redraw();
  }

  #drawStates(all) {
    const counts = countStates(all);
    const build = (state, name, count) =>
      el("button", { type: "button", class: "pill", "aria-pressed": String(shown.filter.state === state), "data-name": state || "all", onclick: () => this.#filter({ state }) }, name, el("small", {}, formatNumber(count)));
    const pills = Object.entries(STATES).filter(([state]) => counts[state] || shown.filter.state === state).map(([state, [name]]) => build(state, t(name), counts[state] ?? 0));
    const focused = this.states.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    const key = JSON.stringify([counts, shown.filter.state]);
    if (key === this.statesKey && this.states.children.length) return;
    this.statesKey = key;
    this.states.replaceChildren(build("", t("allStates"), all.length), ...pills);
    if (focused) this.states.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  #drawEmpty(all) {
    const key = !all.length ? "none" : !this.matches.length ? "noMatch" : "";
    if (this.empty.dataset.key === key) return;
    this.empty.dataset.key = key;
    if (key === "none") this.empty.replaceChildren(buildNoRuns(this.app.live.folder));
    else if (key) this.empty.replaceChildren(el("section", { class: "pause" }, el("h2", {}, t("noMatchTitle")), el("button", { type: "button", class: "quiet", onclick: () => this.#clearFilter() }, t("clearFilter"))));
    else this.empty.replaceChildren();
  }

  #drawActions() {
    const { selected } = shown;
    this.all.checked = selected.size > 0 && this.matches.every((id) => selected.has(id));
    this.all.indeterminate = selected.size > 0 && !this.all.checked;
    const key = `${selected.size} ${this.matches.length > 1} ${t("compareHint")}`;
    if (key === this.actionsKey && this.actions.children.length) return;
    this.actionsKey = key;
    const hint = this.matches.length > 1 && el("p", { class: "note" }, t("compareHint"));
    if (!selected.size) return this.actions.replaceChildren(...(hint ? [hint] : []));
    const compare = el("a", { class: "button main", href: buildAddress("compare", ...selected) }, t("compareRuns", { n: formatNumber(selected.size) }));
    this.actions.replaceChildren(el("button", { type: "button", class: "quiet", onclick: () => this.#selectAll(false) }, t("clearSelection")), compare);
  }

  #filter(fields) {
    Object.assign(shown.filter, fields);
    shown.limit = MAX_ROWS;
    this.#draw();
  }

  #clearFilter() {
    this.search.value = "";
    this.#filter({ state: "", text: "" });
    this.search.focus();
  }

  #leaveSearch(event) {
    if (event.key !== "ArrowDown" || event.isComposing || !this.order.length) return;
    event.preventDefault();
    this.#focus(0);
  }

  #showMore() {
    shown.limit += MAX_ROWS;
    this.#draw();
  }

  /** With Shift, all rows from the last one that was chosen. */
  #select(id, isSelected, event = {}) {
    const [from, to] = [this.order.indexOf(this.anchor), this.order.indexOf(id)].sort((a, b) => a - b);
    const ids = event.shiftKey && from >= 0 ? this.order.slice(from, to + 1) : [id];
    for (const each of ids) shown.selected[isSelected ? "add" : "delete"](each);
    this.anchor = id;
    this.#draw();
  }

  #selectAll(isSelected) {
    shown.selected = new Set(isSelected ? this.matches : []);
    this.#draw();
    this.app.announce(t("selectedCount", { n: formatNumber(shown.selected.size) }));
  }

  #compare() {
    if (shown.selected.size) location.hash = buildAddress("compare", ...shown.selected);
  }

  #takeFocus({ target }) {
    const id = target.closest("tr")?.dataset.id;
    if (!id || id === shown.current) return;
    const last = this.rows.get(shown.current);
    if (last) last.isCurrent = false;
    this.rows.get(id).isCurrent = true;
    shown.current = id;
  }

  #handleRowKey(event) {
    const key = readKey(event);
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const index = this.order.indexOf(shown.current);
    const toggle = () => this.#select(shown.current, !shown.selected.has(shown.current), event);
    const actions = { ArrowDown: () => this.#focus(index + 1), ArrowUp: () => this.#focus(index - 1), j: () => this.#focus(index + 1), k: () => this.#focus(index - 1), Home: () => this.#focus(0), End: () => this.#focus(this.order.length - 1), x: toggle };
    if (event.target.localName === "a") actions[" "] = toggle;
    if (!actions[key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[key]();
  }

  #focus(index) {
    const id = this.order[Math.min(this.order.length - 1, Math.max(0, index))];
    this.rows.get(id)?.link.focus();
  }
}

function buildNoRuns(folder) {
  const command = el("code", {}, `lmcraft pretrain data --depth 2 --out ${folder || "runs"}/my-first-run`);
  return el("section", { class: "pause" }, el("h2", {}, t("noRunsTitle")), el("p", {}, t("noRunsText")), command);
}
