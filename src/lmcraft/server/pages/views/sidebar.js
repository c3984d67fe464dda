// The list of conversations: search, open, rename, delete, import and export.

import { formatDateTime, formatMonth, t } from "../strings.js";
import { askExportFormat, askTitle, confirmDeletion } from "./dialogs.js";
import { byId, el } from "./dom.js";
import { downloadBlob } from "./download.js";
import { buildIconButton } from "./icons.js";
import { showToast } from "./toasts.js";

const SECONDS_PER_DAY = 24 * 60 * 60;
const RELOAD_DELAY_MS = 200; // several changes in a row make one request

export class Sidebar {
  /** handlers: {open(id), rename(id, title), remove(id), isLive(id)}. */
  constructor(store, handlers) {
    Object.assign(this, { store, handlers, entries: [], current: null, requestCount: 0, timer: null, shouldReset: false });
    this.list = byId("conversations");
    byId("search").addEventListener("input", () => this.scheduleReload({ reset: true }));
    byId("more").addEventListener("click", () => this.#load(this.entries.at(-1).updated));
    byId("import").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => this.#import());
    byId("export").addEventListener("click", () => this.#export());
  }

  /** Loads the first page again. `reset`: drops the pages after it. */
  scheduleReload({ reset = false } = {}) {
    this.shouldReset ||= reset;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#load(), RELOAD_DELAY_MS);
  }

  markCurrent(id) {
    this.current = id;
    for (const row of this.list.querySelectorAll("li[data-id]")) this.#markRow(row);
  }

  /** `before`: the `updated` time of the last entry, to load the page after it. */
  async #load(before = null) {
    const requestNumber = ++this.requestCount;
    let page;
    try {
      page = await this.store.list(byId("search").value.trim(), before);
    } catch (error) {
      return showToast(error.message);
    }
    if (requestNumber !== this.requestCount) return; // a newer request is on its way
    const ids = new Set(page.data.map(({ id }) => id));
    const otherEntries = this.entries.filter(({ id }) => !ids.has(id));
    if (before !== null) this.entries = [...otherEntries, ...page.data];
    else if (this.shouldReset || !page.has_more) this.entries = page.data;
    else this.entries = [...page.data, ...otherEntries]; // keeps the pages after the first one
    this.shouldReset = false;
    byId("more").hidden = !page.has_more;
    this.draw();
  }

  draw() {
    const focusedId = document.activeElement?.closest("#conversations li")?.dataset.id;
    const groups = Map.groupBy(this.entries, formatAge);
    const buildGroup = ([name, entries]) =>
      el("section", {}, el("h3", {}, name), el("ol", {}, ...entries.map((entry) => this.#buildRow(entry))));
    this.list.replaceChildren(...[...groups].map(buildGroup));
    if (!this.entries.length) this.list.append(el("p", { class: "note" }, t("noChats")));
    if (focusedId) this.list.querySelector(`li[data-id="${CSS.escape(focusedId)}"] button`)?.focus();
  }

  #buildRow({ id, title, updated, pinned }) {
    const name = title || t("newChat");
    const tooltip = `${name}\n${formatDateTime(updated)}`;
    const pin = () => this.#pin(id, !pinned);
    const row = el(
      "li",
      { "data-id": id },
      el("button", { type: "button", class: "open", dir: "auto", title: tooltip, onclick: () => this.handlers.open(id) }, name),
      buildIconButton("pin", `${t("pin")}: ${name}`, pin, { "aria-pressed": String(pinned) }),
      buildIconButton("edit", `${t("rename")}: ${name}`, () => this.#rename(id, title)),
      buildIconButton("trash", `${t("delete")}: ${name}`, () => this.#remove(id, name)),
    );
    this.#markRow(row);
    return row;
  }

  #markRow(row) {
    const { id } = row.dataset;
    row.classList.toggle("live", this.handlers.isLive(id));
    if (id === this.current) row.firstChild.setAttribute("aria-current", "page");
    else row.firstChild.removeAttribute("aria-current");
  }

  #pin(id, pinned) {
    this.store.update(id, { pinned });
    this.scheduleReload();
  }

  async #rename(id, oldTitle) {
    const title = (await askTitle(oldTitle))?.trim();
    if (!title || title === oldTitle) return;
    this.entries.find((entry) => entry.id === id).title = title;
    this.draw();
    this.handlers.rename(id, title);
  }

  async #remove(id, name) {
    if (!(await confirmDeletion(name))) return;
    this.entries = this.entries.filter((entry) => entry.id !== id);
    this.draw();
    this.handlers.remove(id);
  }

  async #import() {
    const file = byId("file").files[0];
    byId("file").value = ""; // so that choosing the same file again is a change, too
    if (!file) return;
    await this.#attempt(async () => {
      const { imported } = await this.store.importAll(await readJson(file));
      showToast(t("imported", { n: imported }), "done");
      this.scheduleReload({ reset: true });
    });
  }

  async #export() {
    const format = await askExportFormat(this.store.exportFormats);
    if (!format) return;
    await this.#attempt(async () => {
      const text = JSON.stringify(await this.store.exportAll(format), null, 2);
      downloadBlob(new Blob([text], { type: "application/json" }), `${format}-conversations.json`);
    });
  }

  async #attempt(action) {
    try {
      await action();
    } catch (error) {
      showToast(error.message);
    }
  }
}

/** The heading under which the list shows a conversation. */
function formatAge({ updated, pinned }) {
  if (pinned) return t("pinned");
  const midnight = new Date().setHours(0, 0, 0, 0) / 1000;
  const days = Math.ceil((midnight - updated) / SECONDS_PER_DAY); // since the conversation, by the calendar
  if (days <= 0) return t("today");
  if (days === 1) return t("yesterday");
  return days <= 7 ? t("lastWeek") : formatMonth(updated);
}

async function readJson(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new Error(t("notJson", { name: file.name }));
  }
}
