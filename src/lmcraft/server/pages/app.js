// Connects the controller to the views: user actions go to the controller, and its updates come back to the views.

import { Controller } from "./chat/controller.js";
import { fetchLens } from "./chat/lens.js";
import { selectChatModels, suggestSecondModel } from "./chat/models.js";
import { readConversationId, writeConversationId } from "./chat/url.js";
import { JournaledStore } from "./net/journaled_store.js";
import { t } from "./strings.js";
import { Composer } from "./views/composer.js";
import { showData } from "./views/data_dialog.js";
import { byId } from "./views/dom.js";
import { Drawers } from "./views/drawers.js";
import { FeedbackDialog } from "./views/feedback_dialog.js";
import { Header } from "./views/header.js";
import { showHelp } from "./views/help_dialog.js";
import { listenForShortcuts } from "./views/keyboard.js";
import { Panel } from "./views/panel.js";
import { showPrompt } from "./views/prompt_dialog.js";
import { askReport } from "./views/report_dialog.js";
import { Scroller } from "./views/scroller.js";
import { Sidebar } from "./views/sidebar.js";
import { showToast } from "./views/toasts.js";
import { Transcript } from "./views/transcript.js";
import { drawWelcome } from "./views/welcome.js";

const MAX_ANNOUNCED_CHARACTERS = 500; // of a finished answer, for screen readers
const RETRY_MS = 1000; // between attempts to open the conversation of the page's address

export class App {
  constructor() {
    this.models = new Map();
    this.header = new Header({
      selectModel: (model) => {
        this.controller.update({ model });
        this.showConversation(this.controller.conversation);
      },
      languageChanged: () => this.#redrawAll(),
    });
    this.header.translate();
    this.drawers = new Drawers();
  }

  /** Takes the fields of /api/info. */
  async start(info) {
    const { models, settings, store, scope, version, reports } = info;
    Object.assign(this, { info, version, takesReports: reports });
    this.models = selectChatModels(models);
    this.hasStore = store;
    this.store = new JournaledStore(store ? scope : null, {
      savingChanged: () => this.#showAndRefresh(),
      changedElsewhere: (id) => this.#showChange(id),
      removedElsewhere: (id) => this.#showRemoval(id),
    });
    this.controller = new Controller(this.store, this.models, this);
    this.#createViews(settings);
    byId("memory-only").hidden = store;
    if (!this.models.size) showToast(t("noModels"));
    await this.store.start();
    await this.#openFromUrl();
    this.sidebar.scheduleReload();
    addEventListener("popstate", () => this.#openFromUrl());
    this.composer.focus();
  }

  #createViews(settings) {
    const { controller } = this;
    this.composer = new Composer({
      send: (text) => controller.send(text),
      draft: (text) => controller.setDraft(text),
      stop: () => controller.conversation.stop(),
      editLast: () => this.transcript.editLast(),
      getModel: () => this.models.get(controller.conversation.model),
      suggestSecondModel: () => suggestSecondModel(controller.conversation.model, this.models),
    });
    this.transcript = new Transcript(controller, new Scroller(), {
      showPrompt: (message) => this.#showPrompt(message),
      branch: ({ id }, index, alternative) => controller.branch(id, index, alternative),
      hasLens: ({ model }) => Boolean(this.models.get(model)?.lens),
      readLens: (message, index, signal) => fetchLens(message, this.models.get(message.model), index, signal),
      report: this.takesReports ? (message) => this.#report(message) : null,
      getReportProblem: () => (this.hasStore ? "" : t("notStoredForReport")),
      progressDrawn: () => this.#showContextUsage(),
    });
    this.panel = new Panel(settings, (fields) => controller.update(fields));
    this.sidebar = new Sidebar(controller.store, {
      open: (id) => this.#open(id),
      rename: (id, title) => controller.rename(id, title),
      remove: (id) => {
        controller.remove(id);
        this.#showRemoval(id);
      },
      isLive: (id) => controller.liveConversations.has(id),
    });
    this.header.showModels(this.models);
    this.composer.showModels(this.models);
    byId("new").addEventListener("click", () => this.#startConversation());
    byId("feedback").hidden = !this.hasStore;
    byId("feedback").addEventListener("click", () => this.#showFeedback());
    byId("data").addEventListener("click", () => showData(this.info, controller.store));
    byId("help").addEventListener("click", () => showHelp(this.version));
    addEventListener("pagehide", () => {
      document.activeElement?.blur(); // a setting that is being typed counts
      controller.suspend();
    });
    listenForShortcuts({
      escape: () => this.drawers.close() || controller.conversation.stop(),
      search: () => (this.drawers.showSidebar(), byId("search").focus()),
      newChat: () => this.#startConversation(),
      settings: () => this.drawers.togglePanel(),
      help: () => showHelp(this.version),
    });
  }

  // Called by the controller

  showConversation(conversation) {
    if (!this.models.has(conversation.model)) conversation.model = this.models.keys().next().value ?? "";
    const model = this.models.get(conversation.model);
    if (conversation !== this.shownConversation) this.composer.setText(this.controller.getDraft());
    this.shownConversation = conversation;
    this.header.show(conversation);
    this.transcript.show(conversation);
    this.composer.show(conversation.busy, conversation.countUsedTokens(), model?.context);
    this.panel.show(conversation, model);
    drawWelcome(model, (text) => this.composer.fill(text));
    this.sidebar.markCurrent(conversation.id);
    if (this.hasStore) writeConversationId(conversation.id);
  }

  showProgress(message) {
    this.transcript.scheduleProgress(message);
  }

  announceAnswer(text) {
    byId("status").textContent = t("answerComplete", { text: text.slice(0, MAX_ANNOUNCED_CHARACTERS) });
  }

  refreshSidebar() {
    this.sidebar.scheduleReload();
  }

  showError(text) {
    showToast(text);
  }

  /** The model that writes a second answer, or undefined; and whether the user is not to know which is which. */
  getComparison() {
    return { secondModel: this.models.get(this.composer.getSecondModelId()), isBlind: this.composer.isBlind };
  }

  // Called by the views

  #startConversation() {
    this.drawers.close();
    this.controller.startConversation();
    this.composer.focus();
  }

  async #open(id) {
    this.drawers.close();
    try {
      await this.controller.open(id);
      this.composer.focus();
    } catch (error) {
      showToast(error.message);
    }
  }

  async #openFromUrl() {
    const { conversation } = this.controller;
    const id = this.hasStore ? readConversationId() : null;
    if (id !== null && id === conversation.id) return;
    if (id !== null) await this.#openWhenReachable(id);
    if (this.controller.conversation === conversation) this.controller.startConversation();
  }

  /** Opens a conversation, as soon as the server can be reached, unless the user opens another one before. */
  async #openWhenReachable(id) {
    const { conversation } = this.controller;
    for (let isRepeated = false; this.controller.conversation === conversation; isRepeated = true) {
      try {
        return await this.controller.open(id);
      } catch (error) {
        if (!isRepeated) showToast(error.message);
        if (!error.isTemporary) return null;
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
    return null;
  }

  #showAndRefresh() {
    if (!this.shownConversation) return;
    this.showConversation(this.controller.conversation);
    this.refreshSidebar();
  }

  /** Another tab has changed a conversation, or several if there is no id. */
  #showChange(id) {
    this.refreshSidebar();
    if (!id || id === this.controller.conversation.id) this.controller.refresh();
  }

  #showRemoval(id) {
    this.refreshSidebar();
    if (id === this.controller.conversation.id) this.#startConversation();
  }

  async #showFeedback() {
    await this.store.save();
    const dialog = new FeedbackDialog({
      getModel: () => this.controller.conversation.model,
      openChat: (id) => this.#open(id),
      changed: () => this.controller.refresh(),
    });
    await dialog.open();
  }

  async #showPrompt(message) {
    const { conversation } = this.controller;
    const model = this.models.get(message.model) ?? this.models.get(conversation.model);
    try {
      await showPrompt(conversation, message, model);
    } catch (error) {
      showToast(error.message);
    }
  }

  async #report(message) {
    const { conversation } = this.controller;
    await this.store.save(); // the server reads the answer from its store
    if (!(await askReport(conversation.id, message.id))) return;
    message.isReported = true; // until the page is loaded again
    this.showConversation(this.controller.conversation);
  }

  #showContextUsage() {
    const { conversation } = this.controller;
    this.composer.showContextUsage(conversation.countUsedTokens(), this.models.get(conversation.model)?.context);
  }

  #redrawAll() {
    if (!this.controller) return;
    this.header.showModels(this.models);
    this.composer.showModels(this.models);
    this.panel.draw();
    this.sidebar.draw();
    if (this.shownConversation) this.showConversation(this.shownConversation);
  }
}
