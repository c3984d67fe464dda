// The user's actions on conversations. The controller passes their results to the page, and records them in the store.

import { createId } from "../net/ids.js";
import { wordProblem } from "../error_texts.js";
import { t } from "../strings.js";
import { Answer } from "./answer.js";
import { summarize } from "./attached_files.js";
import { Conversation } from "./conversation.js";
import { readLastUsed, saveLastUsed } from "./last_used.js";
import { Pace } from "./pace.js";
import { buildAnswerRequest, buildBranchRequest, buildContinuationRequest, drawSeed } from "./request_builder.js";
import { buildTitle } from "../title.js";

const BLIND = "blind"; // in place of the id of a message that is edited

export class Controller {
  /**
   * store: a JournaledStore, whose writes cannot fail; models: Map of id -> model; page: {showConversation, showProgress,
   * announceAnswer, refreshSidebar, showError, getComparison}.
   */
  constructor(store, models, page) {
    Object.assign(this, { store, models, page, openCount: 0 });
    this.conversation = new Conversation();
    this.liveConversations = new Map(); // id -> conversation with an answer in progress, whether or not it is on screen
  }

  // Conversations

  /** A new chat, with the model, system prompt and settings that were chosen last. */
  startConversation() {
    this.#open(new Conversation(readLastUsed()));
  }

  async open(id) {
    const live = this.liveConversations.get(id);
    if (live) return this.#open(live);
    const openCount = ++this.openCount;
    const stored = await this.store.get(id);
    if (openCount !== this.openCount) return; // the user has opened another one since
    if (id === this.conversation.id) return this.#load(this.conversation, stored);
    this.#open(this.liveConversations.get(id) ?? new Conversation(stored));
  }

  #open(conversation) {
    this.openCount += 1;
    this.conversation = conversation;
    this.page.showConversation(conversation);
  }

  /** Shows what another tab has changed, unless an answer is in progress here. */
  async refresh() {
    const { conversation } = this;
    if (!conversation.id || conversation.busy) return;
    const stored = await this.store.get(conversation.id).catch(() => null);
    if (stored) this.#load(conversation, stored);
  }

  #load(conversation, stored) {
    if (conversation.busy) return;
    conversation.load(stored);
    this.#show(conversation);
  }

  /** Sets fields of the conversation. */
  update(fields, conversation = this.conversation) {
    Object.assign(conversation, fields);
    saveLastUsed(conversation);
    if (conversation.id) this.store.update(conversation.id, fields);
  }

  rename(id, title) {
    this.store.update(id, { title });
    for (const conversation of [this.conversation, this.liveConversations.get(id)]) if (conversation?.id === id) conversation.title = title;
    this.#showAndRefresh(this.conversation);
  }

  remove(id) {
    const live = this.liveConversations.get(id);
    if (live) live.isRemoved = true;
    live?.stop();
    this.store.remove(id);
  }

  /** Records answers in progress as they are, because the page may end now. */
  suspend() {
    for (const conversation of this.liveConversations.values()) {
      for (const [id, answer] of conversation.answers) {
        answer.stop();
        this.#finishAnswer(conversation, conversation.tree.get(id));
      }
    }
    this.store.release();
  }

  // Text that is typed and not sent

  getDraft() {
    return this.store.getDraft(this.conversation.id);
  }

  setDraft(text) {
    this.store.setDraft(this.conversation.id, text);
  }

  getEditorText(id) {
    return this.conversation.id && this.store.getEditorText(this.conversation.id, id);
  }

  /** text: null once the editor is closed. */
  setEditorText(id, text) {
    this.store.setEditorText(this.conversation.id, id, text);
  }

  // Messages

  /** Whether a message waits to be saved for longer than usual: {problem: why it was refused, or ""}; otherwise null. */
  describeSaving(id) {
    return this.conversation.id ? this.store.describeSaving(this.conversation.id, id) : null;
  }

  /** Adds a question and answers it. Returns whether it was added: not while an answer is in progress. */
  send(text, parent) {
    const { conversation } = this;
    if (conversation.busy) return false;
    this.#leavePair(conversation);
    conversation.discardFailure();
    if (!conversation.id) this.#create(conversation, text);
    const question = this.#addMessage(conversation, { role: "user", content: text, parent: parent === undefined ? conversation.leaf : parent });
    this.#answer(conversation, question.id);
    return true;
  }

  /** Answers a message that has no answer yet. */
  answer(id) {
    if (!this.conversation.busy) this.#answer(this.conversation, id);
  }

  regenerate(id) {
    const { conversation } = this;
    if (!conversation.busy) this.#answer(conversation, conversation.tree.get(id).parent);
  }

  /** Adds a new version of a message; `thenContinue` lets the model continue an edited answer. Returns whether it was added. */
  edit(id, text, thenContinue = false) {
    const { conversation } = this;
    if (conversation.busy) return false;
    const { role, parent, model, details } = conversation.tree.get(id);
    if (role === "user") return this.send(text, parent);
    const { thoughts, thoughtSeconds } = details ?? {};
    const fields = { content: text, parent, model, edited_from: id, details: thoughts ? { thoughts, thoughtSeconds } : {} };
    const version = this.#addMessage(conversation, { role: "assistant", ...fields });
    if (thenContinue) this.#continue(conversation, version);
    return true;
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
    try {
      const request = await buildBranchRequest(conversation, message, this.#findModel(message), count, alternative);
      if (!conversation.busy) this.#generate(conversation, message.parent, request);
    } catch (error) {
      this.page.showError(error.message);
    }
  }

  /** Shows the version `offset` places after this one; of a pair, on its side. */
  switchVersion(id, offset) {
    const { conversation } = this;
    const siblings = conversation.tree.siblings(id);
    const isOther = (version) => conversation.pair?.includes(id) && conversation.pair.includes(version);
    let index = siblings.indexOf(id) + offset;
    if (isOther(siblings[index])) index += offset;
    const version = siblings[index];
    if (!version) return;
    if (conversation.pair?.includes(id)) conversation.pair = conversation.pair.map((member) => (member === id ? version : member));
    else conversation.leaf = conversation.tree.newestLeaf(version);
    this.#showAndSaveView(conversation);
  }

  rate(id, rating, reason) {
    const { conversation } = this;
    Object.assign(conversation.tree.get(id), { rating, reason });
    this.store.rate(conversation.id, id, rating, reason);
    this.#show(conversation);
  }

  /** Repeats a failed request. An answer that has text stays, as a version. */
  retry(id) {
    const { conversation } = this;
    if (conversation.busy) return;
    const message = conversation.tree.get(id);
    const pairIndex = conversation.pair?.indexOf(id);
    const request = message.request ?? buildAnswerRequest(conversation, message.parent, this.#findModel(message));
    if (message.isTransient && pairIndex >= 0) conversation.tree.remove(id);
    this.#generate(conversation, message.parent, request, { pairIndex });
  }

  /** Tries again to save what the store has refused. */
  saveAgain() {
    this.store.saveAgain(this.conversation);
    this.#show(this.conversation);
  }

  // Two answers

  /** Shows an answer beside the version before it, or after it if it is the first one. */
  compare(id) {
    const { conversation } = this;
    const { parent } = conversation.tree.get(id);
    const siblings = conversation.tree.siblings(id).filter((version) => !conversation.tree.get(version).isTransient);
    const first = Math.max(0, siblings.indexOf(id) - 1);
    conversation.startPair(siblings.slice(first, first + 2), parent);
    this.#setBlind(conversation, false);
    this.#showAndSaveView(conversation);
  }

  /** Records a preference for one answer of the pair, and continues from it. */
  prefer(id, reason) {
    const { conversation } = this;
    const rejected = conversation.pair.find((member) => member !== id);
    this.store.addPreference(conversation.id, id, rejected, reason);
    this.#setBlind(conversation, false);
    conversation.endPair(id);
    this.#showAndSaveView(conversation);
  }

  skipPreference() {
    this.#leavePair(this.conversation);
    this.#show(this.conversation);
  }

  /** Whether the user is not to know which model wrote which answer of the open pair; kept in this browser, as drafts are. */
  get isPairBlind() {
    const { pair, id } = this.conversation;
    return Boolean(pair && id) && this.store.getEditorText(id, BLIND) !== null;
  }

  #setBlind({ id }, isBlind) {
    this.store.setEditorText(id, BLIND, isBlind ? "blind" : null);
  }

  #leavePair(conversation) {
    if (!conversation.pair) return;
    const { pair } = conversation;
    this.#setBlind(conversation, false);
    conversation.endPair();
    for (const id of pair) if (conversation.tree.get(id).isTransient && conversation.leaf !== id) conversation.tree.remove(id);
    this.#saveView(conversation);
  }

  // Answers

  #answer(conversation, parent) {
    const model = this.models.get(conversation.model);
    if (!model) return this.page.showError(t("noModels"));
    conversation.discardFailure();
    const { secondModel, isBlind } = this.page.getComparison();
    if (!secondModel) return this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, model));
    const seed = conversation.settings.seed ?? drawSeed();
    // Two answers of one model need two seeds. Two models are best compared with the same seed.
    const secondSeed = secondModel === model ? seed + 1 : seed;
    const leafBefore = conversation.leaf;
    conversation.startPair([null, null], parent);
    this.#setBlind(conversation, isBlind);
    const pairIndex = isBlind ? drawSeed() % 2 : 0; // the side of the first model
    this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, model, seed), { pairIndex, leafBefore });
    this.#generate(conversation, parent, buildAnswerRequest(conversation, parent, secondModel, secondSeed), { pairIndex: 1 - pairIndex, leafBefore });
  }

  #continue(conversation, message) {
    this.#generate(conversation, message.parent, buildContinuationRequest(conversation, message, this.#findModel(message)));
  }

  /** pairIndex: 0 or 1 for an answer of a pair; leafBefore: what to show again if there is no answer. */
  async #generate(conversation, parent, request, { pairIndex = -1, leafBefore } = {}) {
    conversation.discardFailure();
    const answer = new Answer(request);
    const message = createMessage({ role: "assistant", parent, content: answer.content, model: request.model });
    Object.assign(message, { live: answer, request, leafBefore: leafBefore ?? conversation.leaf, isTransient: true });
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
    const pace = new Pace();
    await answer.run(() => {
      message.content = answer.content;
      this.page.showProgress(message);
      if (message.live && answer.hasGrown) pace.run(() => this.#keepAnswer(conversation, message));
    });
    this.#finishAnswer(conversation, message);
  }

  /** Does nothing if the answer was finished before, when the page was about to end. */
  #finishAnswer(conversation, message) {
    const { live: answer } = message;
    if (!answer) return;
    Object.assign(message, { live: null, content: answer.content, details: answer.details(), problem: answer.problem });
    conversation.answers.delete(message.id);
    if (!conversation.busy) this.liveConversations.delete(conversation.id);
    // An answer without any text is only kept if the model has ended it.
    if (answer.hasGrown || (!answer.stopped && !answer.problem)) this.#keepAnswer(conversation, message);
    else if (answer.stopped) conversation.discard(message);
    this.#showAndSaveView(conversation);
    if (conversation === this.conversation) this.page.announceAnswer(wordProblem(message.problem) || message.content || t("emptyAnswer"));
  }

  #keepAnswer(conversation, message) {
    const { live } = message;
    const isFirst = message.isTransient;
    message.isTransient = false;
    this.#store(conversation, live ? { ...message, details: live.details(true) } : message, { isGrowing: Boolean(live) });
    if (isFirst || !live) this.#saveView(conversation);
  }

  #create(conversation, text) {
    conversation.id = createId();
    conversation.title = buildTitle(summarize(text));
    this.store.setDraft(null, "");
    this.store.create(conversation.id, conversation);
  }

  #addMessage(conversation, fields) {
    const message = createMessage(fields);
    conversation.tree.add(message);
    conversation.leaf = message.id;
    this.#store(conversation, message);
    this.#showAndSaveView(conversation);
    return message;
  }

  #store(conversation, message, options) {
    if (conversation.isRemoved) return;
    this.store.addMessage(conversation.id, message, options);
    conversation.storedView.leaf = null; // the store opens the branch of each message that it saves
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

  #showAndSaveView(conversation) {
    this.#saveView(conversation);
    this.#showAndRefresh(conversation);
  }

  /** Records which versions are open, so that a reload opens them. */
  #saveView(conversation) {
    if (conversation.id && !conversation.isRemoved) this.store.update(conversation.id, conversation.takeChangedView());
  }
}

function createMessage({ role, parent, content, model = "", edited_from = null, details = {} }) {
  return { id: createId(), role, parent, content, model, edited_from, details, created: Date.now() / 1000, rating: 0, reason: "" };
}
