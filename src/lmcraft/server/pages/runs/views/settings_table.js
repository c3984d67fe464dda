// The settings of one run, or of several with what differs.

import { t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";

const MAX_COLUMNS = 24;

const formatSetting = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export class SettingsTable {
  constructor() {
    Object.assign(this, { rows: [], columns: [], text: "", onlyDiffering: true });
    this.node = el("section", { class: "run-settings", hidden: true });
  }

  /** settings: {name: value} of one run. */
  showOne(settings) {
    this.show([{ id: "", title: t("value") }], Object.entries(settings).map(([name, value]) => ({ name, values: { "": value }, differs: false })));
  }

  /** columns: [{id, title}], one for each run; rows: [{name, values, differs}]. */
  show(columns, rows) {
    Object.assign(this, { columns: columns.slice(0, MAX_COLUMNS), numHidden: Math.max(0, columns.length - MAX_COLUMNS), rows });
    this.draw();
  }

  draw() {
    this.node.hidden = !this.rows.length;
    const isComparison = this.columns.length > 1;
    const search = el("input", { type: "search", value: this.text, maxlength: "200", autocomplete: "off", placeholder: t("searchSettings"), "aria-label": t("searchSettings"), oninput: () => this.#filter({ text: search.value }) });
    const box = el("input", { type: "checkbox", name: "differs", checked: this.onlyDiffering, onchange: () => this.#filter({ onlyDiffering: box.checked }) });
    this.body = el("tbody");
    this.note = el("p", { class: "note", role: "status" });
    const columns = [t("setting"), ...this.columns.map(({ title }) => title)];
    const head = el("tr", {}, ...columns.map((name) => el("th", { scope: "col", dir: "auto" }, name)));
    const table = el("table", {}, el("caption", { class: "visually-hidden" }, t("settings")), el("thead", {}, head), this.body);
    this.node.replaceChildren(
      el("h2", {}, t("settings")),
      el("div", { class: "row filters" }, el("div", { class: "search" }, search), isComparison && el("label", { class: "check" }, box, t("onlyDiffering"))),
      this.note,
      el("div", { class: "scroll-box", tabindex: "0", role: "region", "aria-label": t("settings") }, table),
    );
    this.#drawRows();
  }

  #filter(fields) {
    Object.assign(this, fields);
    this.#drawRows();
  }

  #drawRows() {
    const isComparison = this.columns.length > 1;
    const words = this.text.toLowerCase();
    const rows = this.rows.filter(({ name, differs, values }) => (!isComparison || differs || !this.onlyDiffering) && [name, ...Object.values(values).map(formatSetting)].join("\n").toLowerCase().includes(words));
    this.body.replaceChildren(...rows.map((row) => this.#buildRow(row)));
    const none = isComparison && this.onlyDiffering && !words ? t("sameSettings") : t("noSettings");
    this.note.textContent = [!rows.length && none, this.numHidden && t("moreColumns", { n: this.numHidden })].filter(Boolean).join(" ");
  }

  #buildRow({ name, values, differs }) {
    const cells = this.columns.map(({ id }) => (id in values ? el("td", { dir: "auto" }, escapeControls(formatSetting(values[id]))) : el("td", { class: "no-figure" }, "–")));
    return el("tr", { class: differs && this.columns.length > 1 ? "differs" : null }, el("th", { scope: "row", dir: "auto" }, name), ...cells);
  }
}
