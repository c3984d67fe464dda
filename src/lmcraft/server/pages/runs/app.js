// The frame of the page of runs: header, keyboard, connection. It shows one view at a time.
//
// A view is a class like those of the review page (review/app.js): constructor(app), mount(container, path), translate(),
// unmount(), keys, takeFocus(), handleKey(event), and
//   runsChanged(ids)        these runs are new, have changed or are gone
// A view uses app.live.runs, app.setTitle(text), app.showError(error) and app.announce(text).

import { readAddress } from "../net/address.js";
import { changeKey, fetchJson, hasKey } from "../net/api.js";
import { t, toggleLanguage, translatePage } from "../strings.js";
import { byId, el } from "../views/dom.js";
import { buildIcon } from "../views/icons.js";
import { isComposing } from "../views/keyboard.js";
import { showKeys } from "../views/keys_dialog.js";
import { drawThemeButton } from "../views/theme_button.js";
import { showToast } from "../views/toasts.js";
import { LiveRuns } from "./state/live_runs.js";
import { CompareView } from "./views/compare_view.js";
import { ListView } from "./views/list_view.js";
import { RunView } from "./views/run_view.js";

const VIEWS = { __proto__: null, runs: ListView, run: RunView, compare: CompareView };
const FIELDS = "input:not([type=radio], [type=checkbox], [type=range]), textarea, select, [contenteditable]";
const WITHOUT_VIEW = { translate() {}, unmount() {}, handleKey() {}, runsChanged() {}, keys: [] };
const SAME_ERROR_MS = 20_000; // for which an error is not shown again

export class App {
  constructor() {
    Object.assign(this, { view: WITHOUT_VIEW, isFirst: true, title: "", lastError: { message: "", time: 0 } });
    this.live = new LiveRuns({ changed: (ids) => this.#runsChanged(ids), connected: (isConnected) => this.#showConnection(isConnected) });
    byId("chat").append(buildIcon("chat"));
    byId("language").addEventListener("click", () => {
      toggleLanguage();
      this.#translate();
      this.view.translate();
    });
    byId("help").addEventListener("click", () => showKeys(this.view.keys));
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address belongs to the views
      byId("view").focus();
    });
    document.addEventListener("keydown", (event) => this.#handleKey(event));
    this.#translate();
  }

  /** Reads the runs, and shows the view of the address. */
  async start() {
    try {
      await this.live.start();
    } catch (error) {
      this.#showProblem(error);
      return;
    }
    this.#findChat();
    addEventListener("hashchange", () => this.#open());
    this.#open();
  }

  setTitle(title) {
    this.title = title;
    document.title = `${title} · lmcraft`;
  }

  /** Tells screen readers. */
  announce(text) {
    byId("status").textContent = text;
  }

  /** Says why something failed; not again and again while the server is away, which the header says. */
  showError(error) {
    const { message, time } = this.lastError;
    if (error.status === 0 || (error.message === message && Date.now() - time < SAME_ERROR_MS)) return;
    this.lastError = { message: error.message, time: Date.now() };
    showToast(error.message);
  }

  #open() {
    const { name, path } = readAddress();
    const View = VIEWS[name] ?? ListView;
    this.view.unmount();
    this.view = new View(this);
    this.setTitle(t("runs"));
    const container = el("div", { class: `view ${VIEWS[name] ? name : "runs"}` });
    byId("view").replaceChildren(container);
    byId("view").scrollTop = 0;
    this.view.mount(container, path);
    if (!this.isFirst && !this.view.takeFocus?.()) byId("view").focus({ preventScroll: true });
    this.isFirst = false;
  }

  #runsChanged(ids) {
    byId("folder").textContent = this.live.folder;
    this.view.runsChanged(ids);
  }

  #showConnection(isConnected) {
    byId("connection").hidden = isConnected;
    if (!isConnected) return;
    this.announce(t("connectedAgain"));
    this.view.runsChanged(new Set(this.live.runs.keys())); // what could not be read in the meantime
  }

  /** The chat page is of use only with a model. */
  async #findChat() {
    try {
      const { models = [] } = await fetchJson("GET", "/api/info");
      byId("chat").hidden = !models.length;
    } catch {
      // there is no way to the chat, then
    }
  }

  #showProblem(error) {
    const retry = () => {
      byId("view").replaceChildren();
      this.start();
    };
    const otherKey = hasKey() && el("button", { type: "button", class: "quiet", onclick: changeKey }, t("changeKey"));
    const buttons = el("div", { class: "row buttons" }, el("button", { type: "button", class: "quiet", onclick: retry }, t("retry")), otherKey);
    byId("view").replaceChildren(el("section", { class: "pause", role: "alert" }, el("h1", {}, t("cannotOpen")), el("p", { dir: "auto" }, error.message), buttons));
  }

  #translate() {
    translatePage();
    byId("chat").title = t("toChat");
    drawThemeButton();
    this.setTitle(this.view === WITHOUT_VIEW ? t("runs") : this.title);
  }

  #handleKey(event) {
    if (isComposing(event) || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const isShortcut = !event.ctrlKey && !event.altKey && !event.metaKey && !event.target.closest?.(FIELDS);
    if (!isShortcut) return;
    if (event.key === "?") {
      event.preventDefault();
      showKeys(this.view.keys);
    } else this.view.handleKey(event);
  }
}
