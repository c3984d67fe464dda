// Puts the parts together: what people do goes to the controller, what it tells goes to the views.

import { inAddress, toAddress } from "./chat/url.js";
import { Composer } from "./views/composer.js";
import { Controller } from "./chat/controller.js";
import { byId } from "./views/dom.js";
import { Drawers } from "./views/drawers.js";
import { Header } from "./views/header.js";
import { showHelp } from "./views/help_dialog.js";
import { listenToKeys } from "./views/keyboard.js";
import { talking } from "./chat/models.js";
import { Panel } from "./views/panel.js";
import { showPrompt } from "./views/prompt_dialog.js";
import { Scroller } from "./views/scroller.js";
import { Sidebar } from "./views/sidebar.js";
import { MemoryStore, ServerStore } from "./net/store.js";
import { t } from "./strings.js";
import { toast } from "./views/toasts.js";
import { Transcript } from "./views/transcript.js";

const SAID = 500; // characters of an answer that are read out when it is finished

export class App {
  constructor() {
    this.models = new Map();
    this.header = new Header({
      choose: (model) => this.controller.change({ model }).then(() => this.show(this.controller.chat)),
      worded: () => this.#word(),
    });
    this.header.word();
    this.drawers = new Drawers();
  }

  /** info: what /api/info says. */
  async start({ models, store, version }) {
    this.version = version;
    this.models = talking(models);
    this.keeps = store;
    this.controller = new Controller(store ? new ServerStore() : new MemoryStore(), this.models, this);
    this.#makeViews();
    byId("memory-only").hidden = store;
    if (!this.models.size) toast(t("noModels"));
    await this.#openAddressed();
    this.sidebar.changed();
    addEventListener("popstate", () => this.#openAddressed());
  }

  #makeViews() {
    const { controller } = this;
    this.composer = new Composer({ send: (text) => controller.send(text), stop: () => controller.chat.stop(), editLast: () => this.transcript.editLast() });
    this.transcript = new Transcript(controller, new Scroller(), {
      prompt: (message) => this.#showPrompt(message),
      answer: ({ id }) => controller.answer(id),
      branch: ({ id }, index, alternative) => controller.branch(id, index, alternative),
      drawn: () => this.#showContext(),
    });
    this.panel = new Panel((fields) => controller.change(fields));
    this.sidebar = new Sidebar(controller.store, {
      open: (id) => this.#open(id),
      renamed: (id, title) => this.#renamed(id, title),
      removed: (id) => id === controller.chat.id && this.#begin(),
      isLive: (id) => controller.live.has(id),
    });
    this.header.showModels(this.models);
    this.composer.showModels(this.models);
    byId("new").addEventListener("click", () => this.#begin());
    byId("help").addEventListener("click", () => showHelp(this.version));
    addEventListener("pagehide", () => controller.live.forEach((chat) => chat.leave()));
    listenToKeys({
      escape: () => this.drawers.close() || controller.chat.stop(),
      search: () => (this.drawers.showSidebar(), byId("search").focus()),
      begin: () => this.#begin(),
      settings: () => this.drawers.togglePanel(),
      help: () => showHelp(this.version),
    });
  }

  // What the controller tells

  show(chat) {
    if (!this.models.has(chat.model)) chat.model = this.models.keys().next().value ?? "";
    const model = this.models.get(chat.model);
    this.header.show(chat);
    this.transcript.show(chat);
    this.composer.show(chat.busy, chat.used(), model?.context);
    this.panel.show(chat, model);
    this.sidebar.mark(chat.id);
    if (this.keeps) toAddress(chat.id);
  }

  stream(message) {
    this.transcript.stream(message);
  }

  rename(id, saved) {
    this.transcript.rename(id, saved);
  }

  finished(text) {
    byId("status").textContent = t("finished", { text: text.slice(0, SAID) });
  }

  listChanged() {
    this.sidebar.changed();
  }

  complain(text) {
    toast(text);
  }

  /** The model that gives a second answer, or undefined. */
  compare() {
    return this.models.get(this.composer.compares());
  }

  // What people do

  #begin() {
    this.drawers.close();
    this.controller.begin(this.controller.chat.model);
    byId("input").focus();
  }

  async #open(id) {
    this.drawers.close();
    try {
      await this.controller.open(id);
      return true;
    } catch (error) {
      toast(error.message);
      return false;
    }
  }

  async #openAddressed() {
    const id = this.keeps ? inAddress() : null;
    if (id !== null && id === this.controller.chat.id) return;
    if (id === null || !(await this.#open(id))) this.controller.begin(this.controller.chat.model);
  }

  #renamed(id, title) {
    const chat = this.controller.chat.id === id ? this.controller.chat : this.controller.live.get(id);
    if (!chat) return;
    chat.title = title;
    this.header.show(this.controller.chat);
  }

  async #showPrompt(message) {
    const { chat } = this.controller;
    const model = this.models.get(message.model) ?? this.models.get(chat.model);
    try {
      await showPrompt(chat, message, model);
    } catch (error) {
      toast(error.message);
    }
  }

  #showContext() {
    const { chat } = this.controller;
    this.composer.showContext(chat.used(), this.models.get(chat.model)?.context);
  }

  #word() {
    if (!this.controller) return;
    this.header.showModels(this.models);
    this.composer.showModels(this.models);
    this.panel.draw();
    this.sidebar.draw();
    this.show(this.controller.chat);
  }
}
