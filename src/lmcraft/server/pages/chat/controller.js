// The user's actions on conversations. The controller passes their results to the page and to the store.

import { t } from "../strings.js";
import { Answer } from "./answer.js";
import { summarize } from "./attached_files.js";
import { Conversation } from "./conversation.js";
import { readLastUsed, saveLastUsed } from "./last_used.js";
import { buildAnswerRequest, buildBranchRequest, buildContinuationRequest, drawSeed } from "./request_builder.js";
import { buildTitle } from "../title.js";

export class Controller {
  /**
   * store: a ServerStore or a MemoryStore; models: Map of id -> model; page: {showConversation, showProgress,
   * renameMessage, announceAnswer, refreshSidebar, showError, getSecondModel}.
   */
  constructor(store, models, page) {
    Object.assign(this, { store, models, page });
    this.conversation = new Conversation();
    this.liveConversations = new Map(); // id -> conversation with an answer in progress, whether or not it is on screen
    this.answerCount = 0;
  }

  // Conversations

  /** A new chat, with the model, system prompt and settings that were chosen last. */
  startConversation() {
    this.conversation = new Conversation(readLastUsed());
    this.page.showConversation(this.conversation);
  }

  async open(id) {
    const conversation = this.liveConversations.get(id) ?? new Conversation(await this.store.get(id));
    this.conversation = conversation;
    this.page.showConversation(conversation);
  }

  /** Sets fields of the conversation, and saves them if the store has the conversation. */
  async update(fields, conversation = this.conversation) {
    Object.assign(conversation, fields);
    saveLastUsed(conversation);
    if (conversation.id) await this.#attempt(() => this.store.update(conversation.id, fields));
  }

  // Messages

  /** Saves a question and answers it. False if it could not be saved: the text then stays in the message box. */
  async send(text, parent) {
    const { conversation } = this;
    if (conversation.busy || this.sending) return false;
    this.sending = true;
    try {
      conversation.endPair();
      conversation.dropUnsavedLeaf();
      await this.#create(conversation, text);
      await this.#addMessage(conversation, { role: "user", content: text, parent: parent === undefined ? conversation.leaf : parent });
    } catch (error) {
      this.page.showError(error.message);
      return false;
    } finally {
      this.sending = false;
    }
    this.#answer(conversation, conversation.leaf);
    return true;
  }

  /** Answers a message that has no answer yet. */
  answer(id) {
    if (!this.conversation.busy) this.#answer(this.conversation, id);
  }

  regenerate(id) {
    const { conversation } = this;
    if (conversation.busy) return;
    const { parent, unsaved } = conversation.tree.get(id);
    if (unsaved) conversation.tree.remove(id);
    conversation.leaf = parent;
    this.#answer(conversation, parent);
  }

  /** Saves a new version of a message; `thenContinue` lets the model continue an edited answer. Returns whether it was saved. */
  async edit(id, text, thenContinue = false) {
    const { conversation } = this;
    if (conversation.busy) return false;
    const { role, parent, model } = conversation.tree.get(id);
    if (role === "user") return this.send(text, parent);
    const version = { role: "assistant", content: text, parent, model, edited_from: id };
    const message = await this.#attempt(() => this.#addMessage(conversation, version));
    if (message && thenContinue) this.#continue(conversation, message);
    return Boolean(message);
  }

  continueAnswer(id) {
    const { conversation } = this;
    if (!conversation.busy) this.#continue(conversation, conversation.tree.get(id));
  }

  /** Starts a new version of an answer from its first `count` tokens and an alternative next token. */
  async branch(id, count, alternative) {
    const { conversation } = this;
    if (conversation.busy) return;
    if (conversation.pair?.includes(id)) conversation.endPair(id); // records no preference
    const message = conversation.tree.get(id);
    const model = this.#findModel(message);
    const request = await this.#attempt(() => buildBranchRequest(conversation, message, model, count, alternative));
    if (request) this.#generate(conversation, message.parent, request);
  }

  /** Shows the version `offset` places after this one. */
  switchVersion(id, offset) {
    const { conversation } = this;
    const siblings = conversation.tree.siblings(id);
    const version = siblings[siblings.indexOf(id) + offset];
    if (!version) return;
    conversation.leaf = conversation.tree.newestLeaf(version);
    this.#showAndSaveLeaf(conversation);
  }

  async rate(id, rating, reason) {
    const message = this.conversation.tree.get(id);
    Object.assign(message, { rating, reason });
    this.page.showConversation(this.conversation);
    await this.#attempt(() => this.store.rate(id, rating, reason));
  }

  /** Records a preference for one answer of the pair, and continues from it. */
  async prefer(id, reason) {
    const { conversation } = this;
    const rejected = conversation.pair.find((member) => member !== id);
    const saved = await this.#attempt(async () => (await this.store.addPreference(id, rejected, reason), true));
    if (!saved) return;
    conversation.endPair(id);
    this.#showAndSaveLeaf(conversation);
  }

  skipPreference() {
    const { conversation } = this;
    conversation.endPair();
    this.#showAndSaveLeaf(conversation);
  }

  /** Repeats a failed request, or tries again to save an answer. */
  retry(id) {
    const { conversation } = this;
    const message = conversation.tree.get(id);
    if (!message.unsaved) return this.regenerate(id);
    if (message.complete) return this.#saveAnswer(conversation, message);
    const pairIndex = conversation.pair?.indexOf(id);
    conversation.tree.remove(id);
    return this.#generate(conversation, message.parent, message.request, pairIndex);
  }

  // Answers

  #answer(conversation, parent) {
    const model = this.models.get(conversation.model);
    if (!model) return this.page.showError(t("noModels"));
    const secondModel = this.page.getSecondModel();
    if (!secondModel) return this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, model));
    const seed = conversation.settings.seed ?? drawSeed();
    // Two answers of one model need two seeds. Two models are best compared with the same seed.
    const secondSeed = secondModel === model ? seed + 1 : seed;
    conversation.pair = [null, null];
    this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, model, seed), 0);
    this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, secondModel, secondSeed), 1);
  }

  #continue(conversation, message) {
    this.#generate(conversation, message.parent, buildContinuationRequest(conversation, message, this.#findModel(message)));
  }

  /** pairIndex: 0 or 1 for an answer of a pair. */
  async #generate(conversation, parent, request, pairIndex) {
    const answer = new Answer(request);
    const message = { id: `live-${++this.answerCount}`, parent, role: "assistant", content: answer.content, model: request.model };
    Object.assign(message, { rating: 0, reason: "", details: {}, live: answer, request, unsaved: true });
    conversation.tree.add(message);
    conversation.answers.set(message.id, answer);
    this.liveConversations.set(conversation.id, conversation);
    if (pairIndex >= 0) {
      conversation.pair[pairIndex] = message.id;
    } else {
      conversation.pair = null;
      conversation.leaf = message.id;
    }
    if (!conversation.pair?.includes(null)) this.#show(conversation);
    await answer.run(() => {
      message.content = answer.content;
      this.page.showProgress(message);
    });
    conversation.answers.delete(message.id);
    if (!conversation.busy) this.liveConversations.delete(conversation.id);
    await this.#finishAnswer(conversation, message, answer);
  }

  async #finishAnswer(conversation, message, answer) {
    Object.assign(message, { live: null, details: answer.details(), problem: answer.problem });
    if (answer.stopped && answer.isEmpty && !conversation.pair) {
      conversation.tree.remove(message.id);
      if (conversation.leaf === message.id) conversation.leaf = message.parent;
      return this.#showAndRefresh(conversation);
    }
    message.complete = !answer.isEmpty || !answer.problem;
    if (message.complete) await this.#saveAnswer(conversation, message);
    else this.#show(conversation);
    if (conversation === this.conversation) this.page.announceAnswer(message.problem || message.content || t("emptyAnswer"));
  }

  async #saveAnswer(conversation, { id, parent, role, content, model, details }) {
    try {
      const saved = await this.store.addMessage(conversation.id, { role, content, parent, model, details });
      conversation.replace(id, { ...saved, details });
      this.page.renameMessage(id, saved.id);
      // The store now has this answer as its leaf, but another branch may have been opened since it was started.
      if (!conversation.pair && conversation.leaf !== saved.id) this.#saveLeaf(conversation);
    } catch (error) {
      conversation.tree.get(id).problem = t("notSaved", { reason: error.message });
    }
    this.#showAndRefresh(conversation);
  }

  async #create(conversation, text) {
    if (conversation.id) return;
    conversation.title = buildTitle(summarize(text));
    const { title, system, model, settings } = conversation;
    conversation.id = (await this.store.create({ title, system, model, settings })).id;
    this.page.refreshSidebar();
  }

  async #addMessage(conversation, message) {
    const saved = await this.store.addMessage(conversation.id, message);
    conversation.tree.add(saved);
    conversation.leaf = saved.id;
    this.#showAndRefresh(conversation);
    return saved;
  }

  /** The model that wrote a message, or the conversation's model if the server no longer has it. */
  #findModel(message) {
    return this.models.get(message.model) ?? this.models.get(this.conversation.model);
  }

  #show(conversation) {
    if (conversation === this.conversation) this.page.showConversation(conversation);
  }

  #showAndRefresh(conversation) {
    this.#show(conversation);
    this.page.refreshSidebar();
  }

  #showAndSaveLeaf(conversation) {
    this.#showAndRefresh(conversation);
    this.#saveLeaf(conversation);
  }

  /** Saves which branch is open, so that a reload opens it. The store itself only follows new messages. */
  #saveLeaf(conversation) {
    const leaf = conversation.tree.get(conversation.leaf);
    if (leaf && !leaf.unsaved) this.#attempt(() => this.store.update(conversation.id, { leaf: leaf.id }));
  }

  /** The action's result, or null after showing its error. */
  async #attempt(action) {
    try {
      return await action();
    } catch (error) {
      this.page.showError(error.message);
      return null;
    }
  }
}
