// The frame of the review page: header, sections, keyboard. It shows one view at a time.
//
// A view is a class:
//   constructor(app)        app.me, app.can(role), app.guidelines, app.outbox, app.refreshMe(), app.announce(text)
//   mount(container, path)  draws into an empty element; may be async. path: the segments of the address after the view's name
//   translate()             the language has changed: draws all words again, and keeps what was typed
//   unmount()               another view is shown, or the same at another path: stops timers and listeners
//   keys                    optional, lines of the help: [[key of a string, ["1", "2"]], ...]
//   takeFocus()             optional, after mounting: puts the focus on what is used first; returns whether it has
//   handleKey(event)        optional, a key that was pressed outside of fields and dialogs, without Ctrl, Alt or Meta
//
// To get at another view, a view has links or sets location.hash, with buildAddress of net/address.js.

import { buildAddress, readAddress } from "../net/address.js";
import { changeKey, fetchJson, hasKey } from "../net/api.js";
import { t, toggleLanguage, translatePage } from "../strings.js";
import { byId, el } from "../views/dom.js";
import { buildIcon } from "../views/icons.js";
import { isComposing } from "../views/keyboard.js";
import { showKeys } from "../views/keys_dialog.js";
import { drawThemeButton } from "../views/theme_button.js";
import { showToast } from "../views/toasts.js";
import { Guidelines } from "./net/guidelines.js";
import { Outbox } from "./net/outbox.js";
import { isAllowed, TABS } from "./tabs.js";
import { showPerson } from "./views/dialogs.js";

const FIELDS = "input:not([type=radio], [type=checkbox], [type=range]), textarea, select, [contenteditable]";
const WITHOUT_HANDLER = { translate() {}, unmount() {}, handleKey() {}, keys: [] };

export class App {
  constructor() {
    Object.assign(this, { me: null, view: WITHOUT_HANDLER, isFirst: true, opened: 0 });
    this.guidelines = new Guidelines();
    byId("chat").append(buildIcon("chat"));
    byId("language").addEventListener("click", () => {
      toggleLanguage();
      this.#translate();
      this.view.translate();
    });
    byId("help").addEventListener("click", () => showKeys(this.view.keys ?? []));
    byId("person").addEventListener("click", () => showPerson(this.me));
    byId("menu").addEventListener("click", () => this.#setMenuOpen(byId("menu").getAttribute("aria-expanded") !== "true"));
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address belongs to the views
      byId("view").focus();
    });
    document.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#translate();
  }

  /** Asks who the user is, and shows the view of the address. */
  async start() {
    try {
      await this.refreshMe();
    } catch (error) {
      this.#showProblem(error, () => this.start());
      return;
    }
    this.outbox = new Outbox(this.me.name, (item, error) => this.showRefusal(error));
    this.outbox.send();
    addEventListener("hashchange", () => this.#open());
    await this.#open();
  }

  can(role) {
    return isAllowed(this.me.role, role);
  }

  async refreshMe() {
    this.me = await fetchJson("GET", "/api/review/me");
    this.#drawHeader();
  }

  /** Tells screen readers. */
  announce(text) {
    byId("status").textContent = text;
  }

  get #tabs() {
    return TABS.filter(({ role }) => this.can(role));
  }

  async #open() {
    this.opened += 1;
    const { opened } = this;
    const { name, path } = readAddress();
    const tab = this.#tabs.find((candidate) => candidate.name === name) ?? this.#tabs[0];
    this.view.unmount();
    this.view = WITHOUT_HANDLER;
    this.#setMenuOpen(false);
    this.#markCurrent(tab);
    try {
      const View = await tab.load();
      if (opened !== this.opened) return; // another was opened in the meantime
      const view = new View(this);
      this.view = view;
      const container = el("div", { class: `view ${tab.name}` });
      byId("view").replaceChildren(container);
      await view.mount(container, path);
      if (!this.isFirst && opened === this.opened && !view.takeFocus?.()) byId("view").focus({ preventScroll: true });
      this.isFirst = false;
    } catch (error) {
      if (opened === this.opened) this.#showProblem(error, () => this.#open());
    }
  }

  #showProblem(error, retry) {
    const button = el("button", { type: "button", class: "quiet", onclick: () => (byId("view").replaceChildren(), retry()) }, t("retry"));
    const heading = el("h1", {}, t("cannotOpen"));
    const otherKey = !this.me && hasKey() && el("button", { type: "button", class: "quiet", onclick: changeKey }, t("changeKey"));
    const buttons = el("div", { class: "row buttons" }, button, otherKey);
    byId("view").replaceChildren(el("section", { class: "pause", role: "alert" }, heading, el("p", { dir: "auto" }, error.message), buttons));
  }

  #markCurrent(tab) {
    this.current = tab;
    document.title = `${t(tab.label)} · lmcraft`;
    for (const link of byId("tabs").children) {
      if (link.dataset.name === tab.name) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
  }

  #drawHeader() {
    const links = this.#tabs.map(({ name, label }) => el("a", { href: buildAddress(name), "data-name": name, onclick: () => this.#setMenuOpen(false) }, t(label)));
    byId("tabs").replaceChildren(...links);
    if (this.current) this.#markCurrent(this.current);
    const person = byId("person");
    person.hidden = false;
    const { name, role } = this.me;
    person.replaceChildren(...(name === role ? [el("span", {}, t(role))] : [el("span", { dir: "auto" }, name), el("small", {}, t(role))]));
    person.setAttribute("aria-label", t("person", { name, role: t(role) }));
  }

  #translate() {
    translatePage();
    byId("chat").title = t("toChat");
    drawThemeButton();
    if (this.me) this.#drawHeader();
  }

  /** The sections are a menu in a narrow window. */
  #setMenuOpen(isOpen) {
    byId("menu").setAttribute("aria-expanded", String(isOpen));
    byId("tabs").classList.toggle("open", isOpen);
  }

  #handleKey(event) {
    if (isComposing(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && byId("menu").getAttribute("aria-expanded") === "true") {
      this.#setMenuOpen(false);
      byId("menu").focus();
      return;
    }
    const isShortcut = !event.ctrlKey && !event.altKey && !event.metaKey && !event.target.closest?.(FIELDS);
    if (!isShortcut) return;
    if (event.key === "?") {
      event.preventDefault();
      showKeys(this.view.keys ?? []);
    } else this.view.handleKey?.(event);
  }

  /** Shows why something failed, without leaving the view. */
  showError(error) {
    showToast(error.message);
  }

  /** Says that the server did not accept an earlier decision. */
  showRefusal(error) {
    showToast(t("notAcceptedEarlier", { reason: error.message }));
  }
}
