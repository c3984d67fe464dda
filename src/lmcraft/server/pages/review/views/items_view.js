// The list of items, and below its address the page of each.

import { buildAddress } from "../../net/address.js";
import { formatNumber, t } from "../../strings.js";
import { byId, el, escapeControls } from "../../views/dom.js";
import { buildSelect } from "../../views/facts.js";
import { readKey } from "../../views/keys.js";
import { formatAge } from "../../views/times.js";
import { fetchCounts, fetchItems } from "../net/management.js";
import { Poll } from "../state/poll.js";
import { ItemView } from "./item_view.js";
import { buildLabel, buildState, SOURCES, STATES, titleOf } from "./marks.js";
import { VirtualList } from "./virtual_list.js";

const POLL_SECONDS = 5;
const TYPING_MS = 250; // before a search starts
const NARROW = matchMedia("(max-width: 62rem)"); // the same width as in review_management.css
const ROW_REM = { narrow: 5, wide: 3.25 };
const ALL = { state: "", guideline: "", source: "", search: "" };

// The list stays as it was while one of its items is shown.
const shown = { filters: { ...ALL }, items: [], next: null, counts: null, scrollTop: 0, opened: "", revealsSensitive: false };

export class ItemsView {
  constructor(app) {
    this.app = app;
  }

  get keys() {
    return this.itemView ? [] : [["keysRows", ["↑", "↓"]], ["keyOpen", ["Enter"]], ["keySearch", ["/"]], ["refreshList", ["R"]]];
  }

  async mount(container, [id]) {
    this.container = container;
    this.guidelines = new Map((await this.app.guidelines.list()).map((guideline) => [guideline.name, guideline]));
    if (id !== undefined) {
      this.itemView = new ItemView(this.app, this.guidelines);
      shown.opened = id;
      return this.itemView.mount(container, id);
    }
    this.scroller = byId("view");
    if (!shown.items.length) await this.#reload();
    this.translate();
    this.scroller.scrollTop = shown.scrollTop;
    this.poll = new Poll(() => this.#refresh(), POLL_SECONDS);
    this.poll.start();
  }

  translate() {
    if (this.itemView) return this.itemView.translate();
    this.list?.stop();
    this.list = new VirtualList(this.scroller, {
      label: t("items"),
      buildRow: (item) => this.#buildRow(item),
      getAddress: ({ id }) => buildAddress("items", id),
      loadMore: () => this.#loadMore(),
      rowRem: () => (NARROW.matches ? ROW_REM.narrow : ROW_REM.wide),
    });
    this.states = el("div", { class: "row filters", role: "group", "aria-label": t("state") });
    this.note = el("p", { class: "note", role: "status" });
    this.held = el("p", { class: "note held" });
    this.bar = el("div", { class: "list-bar" }, this.states, this.#buildFilters(), el("div", { class: "row list-notes" }, this.note, this.held));
    this.container.replaceChildren(el("h1", { class: "visually-hidden" }, t("items")), this.bar, this.list.node);
    this.#draw();
  }

  unmount() {
    this.isGone = true;
    if (this.itemView) return this.itemView.unmount();
    shown.scrollTop = this.scroller?.scrollTop ?? 0;
    this.list?.stop();
    this.poll?.stop();
    clearTimeout(this.timer);
  }

  handleKey(event) {
    if (this.itemView) return this.itemView.handleKey(event);
    const key = readKey(event);
    const enter = () => this.list.focusCurrent();
    const action = { "/": () => this.search.focus(), r: () => this.#reload(), ArrowDown: enter, ArrowUp: enter, j: enter, k: enter }[key];
    if (!action || event.shiftKey && key !== "/") return;
    event.preventDefault();
    action();
  }

  /** The row that was opened, or the current one. */
  takeFocus() {
    if (this.itemView || !shown.items.length) return false;
    const index = shown.items.findIndex(({ id }) => id === shown.opened);
    shown.opened = "";
    this.list.focusCurrent(index);
    return true;
  }

  #buildFilters() {
    const { filters } = shown;
    const set = (name) => (value) => this.#filter({ [name]: value });
    const guidelines = [["", t("allGuidelines")], ...[...this.guidelines.values()].map((guideline) => [guideline.name, titleOf(guideline)])];
    const sources = [["", t("allSources")], ...Object.entries(SOURCES).map(([name, key]) => [name, t(key)])];
    const search = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#filter({ search: this.search.value.trim() }), TYPING_MS);
    };
    this.search = el("input", { type: "search", value: filters.search, maxlength: "200", autocomplete: "off", placeholder: t("searchItems"), "aria-label": t("searchItems"), oninput: search, onkeydown: (event) => this.#leaveSearch(event) });
    const reveal = (event) => {
      shown.revealsSensitive = event.currentTarget.checked;
      this.list.redraw();
    };
    const box = el("input", { type: "checkbox", checked: shown.revealsSensitive, onchange: reveal });
    const hasSensitive = [...this.guidelines.values()].some(({ sensitive }) => sensitive);
    return el(
      "div",
      { class: "row filters" },
      buildSelect(t("guideline"), guidelines, filters.guideline, set("guideline")),
      buildSelect(t("source"), sources, filters.source, set("source")),
      el("div", { class: "search" }, this.search),
      hasSensitive && el("label", { class: "check" }, box, t("showSensitive")),
    );
  }

  #leaveSearch(event) {
    if (event.key !== "ArrowDown" || event.isComposing || !shown.items.length) return;
    event.preventDefault();
    this.list.focusCurrent();
  }

  #filter(fields) {
    if (Object.entries(fields).every(([name, value]) => shown.filters[name] === value)) return null;
    Object.assign(shown.filters, fields);
    return this.#reload();
  }

  async #reload() {
    const filters = { ...shown.filters };
    this.note?.replaceChildren(t("loadingItems"));
    try {
      const [page, counts] = await Promise.all([fetchItems(filters), fetchCounts(filters.guideline)]);
      if (this.isGone || !isEqual(filters, shown.filters)) return; // other filters were chosen in the meantime
      Object.assign(shown, { items: page.data, next: page.next, counts, isStale: false });
    } catch (error) {
      this.app.showError(error);
    }
    if (!this.list) return;
    this.scroller.scrollTop = 0;
    this.#draw();
    this.list.redraw();
  }

  async #loadMore() {
    if (!shown.next || this.isLoading) return;
    this.isLoading = true;
    const { items, next } = shown;
    try {
      const page = await fetchItems(shown.filters, next);
      if (items !== shown.items) return; // the list was loaded anew in the meantime
      for (const item of page.data) items.push(item);
      shown.next = page.next;
    } catch (error) {
      this.app.showError(error);
      return;
    } finally {
      this.isLoading = false;
    }
    if (!this.isGone) this.#draw();
  }

  /** Who holds what, and whether the list has changed. */
  async #refresh() {
    try {
      const [claimed, counts] = await Promise.all([fetchItems({ ...ALL, state: "claimed" }), fetchCounts(shown.filters.guideline)]);
      if (this.isGone) return;
      this.claimed = claimed.data;
      const holders = new Map(claimed.data.map(({ id, holder }) => [id, holder]));
      const changed = shown.items.filter((item) => item.holder !== (holders.get(item.id) ?? ""));
      for (const item of changed) item.holder = holders.get(item.id) ?? "";
      if (shown.counts && !isEqual({ ...counts, claimed: 0 }, { ...shown.counts, claimed: 0 })) shown.isStale = true;
      shown.counts = counts;
      if (changed.length) this.list.redraw();
      this.#draw();
    } catch {
      // The server cannot be reached for a moment: the next poll says more.
    }
  }

  #draw() {
    const { filters, items, next, counts } = shown;
    const total = countMatches(filters, counts);
    this.#drawStates(counts);
    const loaded = formatNumber(items.length);
    const count = !next ? t("itemCount", { n: loaded }) : total > items.length ? t("itemsOf", { n: loaded, total: formatNumber(total) }) : t("itemsLoaded", { n: loaded });
    const text = items.length ? count : t("noItems");
    const refresh = shown.isStale && el("button", { type: "button", class: "link", onclick: () => this.#reload() }, t("listChanged"));
    this.note.replaceChildren(text, ...(refresh ? [" ", refresh] : []));
    const held = (this.claimed ?? []).map(({ id, holder }) => el("a", { href: buildAddress("items", id), dir: "auto" }, holder));
    this.held.replaceChildren(...(held.length ? [t("heldNow"), " ", ...held.flatMap((link, i) => (i ? [t("listSeparator"), link] : [link]))] : []));
    this.list.show(items, next ? Math.max(total, -1) : items.length);
  }

  #drawStates(counts) {
    const build = (state, name, count) =>
      el(
        "button",
        { type: "button", class: "pill", "aria-pressed": String(shown.filters.state === state), "data-name": state || "all", onclick: () => this.#filter({ state }) },
        name,
        counts && el("small", {}, formatNumber(count)),
      );
    const pills = Object.entries(STATES).filter(([state]) => state !== "erased" || counts?.erased).map(([state, key]) => build(state, t(key), counts?.[state] ?? 0));
    const focused = this.states.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    this.states.replaceChildren(build("", t("allStates"), counts?.total ?? 0), ...pills);
    if (focused) this.states.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  #buildRow(item) {
    const guideline = this.guidelines.get(item.guideline);
    const isHidden = guideline?.sensitive && !shown.revealsSensitive;
    const veil = item.state === "erased" ? "erasedText" : isHidden && "sensitiveText";
    return [
      buildState(item.holder ? "claimed" : item.state),
      veil ? el("span", { class: "excerpt veiled" }, t(veil)) : el("span", { class: "excerpt", dir: "auto" }, escapeControls(item.excerpt)),
      el("span", { class: "verdict", dir: "auto" }, this.#describeProgress(item, guideline)),
      el("span", { class: "origin" }, `${titleOf(guideline, item.guideline)} · ${t(SOURCES[item.source] ?? "unknownSource")}`),
      el("span", { class: "age" }, formatAge(item.created)),
    ];
  }

  #describeProgress({ holder, label, num_verdicts: count }, guideline) {
    if (holder) return t("heldBy", { name: holder });
    if (label) return buildLabel(guideline, label);
    return count > 0 && t("verdictCount", { n: formatNumber(count) });
  }
}

/** The number of items that the filters let through; -1 if the counts do not tell. */
function countMatches({ state, source, search }, counts) {
  if (source || search || !counts) return -1;
  return counts[state || "total"] ?? -1;
}

const isEqual = (a, b) => Object.keys({ ...a, ...b }).every((name) => a[name] === b[name]);
