// The list of conversations: search, open, rename, delete, import, export.

import { askTitle, confirmRemoval } from "./dialogs.js";
import { byId, el, iconButton } from "./dom.js";
import { t } from "../strings.js";
import { toast } from "./toasts.js";

const WAIT = 200; // ms between a keystroke or a change, and the request

export class Sidebar {
  /** does: {open(id), renamed(id, title), removed(id), isLive(id)}. */
  constructor(store, does) {
    Object.assign(this, { store, does, entries: [], current: null, asked: 0, timer: null });
    this.list = byId("conversations");
    byId("search").addEventListener("input", () => this.changed(true));
    byId("more").addEventListener("click", () => this.#load(this.entries.at(-1).updated));
    byId("import").addEventListener("click", () => byId("file").click());
    byId("file").addEventListener("change", () => this.#import());
    byId("export").addEventListener("click", () => this.#export());
  }

  /** Asks the store again, soon: many changes make one request. */
  changed(anew = false) {
    this.anew ||= anew;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#load(), WAIT);
  }

  mark(id) {
    this.current = id;
    for (const row of this.list.querySelectorAll("li[data-id]")) this.#markRow(row);
  }

  async #load(before = null) {
    const number = ++this.asked;
    let found;
    try {
      found = await this.store.list(byId("search").value.trim(), before);
    } catch (error) {
      return toast(error.message);
    }
    if (number !== this.asked) return; // a later question is under way
    const fresh = new Set(found.data.map(({ id }) => id));
    const older = this.entries.filter(({ id }) => !fresh.has(id));
    if (before !== null) this.entries = [...older, ...found.data];
    else if (this.anew || !found.has_more) this.entries = found.data;
    else this.entries = [...found.data, ...older]; // pages that "Show more" brought stay
    this.anew = false;
    byId("more").hidden = !found.has_more;
    this.draw();
  }

  draw() {
    const focused = document.activeElement?.closest("#conversations li")?.dataset.id;
    this.list.replaceChildren(...this.entries.map((entry) => this.#row(entry)));
    if (!this.entries.length) this.list.append(el("li", { class: "note" }, t("none")));
    if (focused) this.list.querySelector(`li[data-id="${CSS.escape(focused)}"] button`)?.focus();
  }

  #row({ id, title }) {
    const name = title || t("untitled");
    const row = el(
      "li",
      { "data-id": id },
      el("button", { type: "button", class: "open", dir: "auto", title: name, onclick: () => this.does.open(id) }, name),
      iconButton("edit", `${t("rename")}: ${name}`, () => this.#rename(id, title)),
      iconButton("trash", `${t("remove")}: ${name}`, () => this.#remove(id, name)),
    );
    this.#markRow(row);
    return row;
  }

  #markRow(row) {
    const { id } = row.dataset;
    row.classList.toggle("live", this.does.isLive(id));
    if (id === this.current) row.firstChild.setAttribute("aria-current", "page");
    else row.firstChild.removeAttribute("aria-current");
  }

  async #rename(id, title) {
    const given = (await askTitle(title))?.trim();
    if (!given || given === title) return;
    await this.#try(async () => {
      await this.store.change(id, { title: given });
      this.entries.find((entry) => entry.id === id).title = given;
      this.draw();
      this.does.renamed(id, given);
    });
  }

  async #remove(id, name) {
    if (!(await confirmRemoval(name))) return;
    await this.#try(async () => {
      await this.store.remove(id);
      this.entries = this.entries.filter((entry) => entry.id !== id);
      this.draw();
      this.does.removed(id);
    });
  }

  async #import() {
    const file = byId("file").files[0];
    byId("file").value = ""; // the same file may be chosen again
    if (!file) return;
    await this.#try(async () => {
      const { imported } = await this.store.importAll(await conversationsIn(file));
      toast(t("imported", { n: imported }), "done");
      this.changed(true);
    });
  }

  #export() {
    return this.#try(async () => {
      const text = JSON.stringify(await this.store.exportAll(), null, 2);
      const href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
      el("a", { href, download: "lmcraft-conversations.json" }).click();
      setTimeout(() => URL.revokeObjectURL(href), 60_000);
    });
  }

  async #try(action) {
    try {
      await action();
    } catch (error) {
      toast(error.message);
    }
  }
}

async function conversationsIn(file) {
  try {
    return JSON.parse(await file.text());
  } catch {
    throw new Error(t("notJson", { name: file.name }));
  }
}
