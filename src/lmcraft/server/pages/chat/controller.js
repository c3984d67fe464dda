// What people can do with a conversation. Shows through `view`, keeps through `store`.

import { answerPlan, anySeed, branchPlan, goOnPlan } from "./request_builder.js";
import { Answer } from "./answer.js";
import { Chat } from "./conversation.js";
import { t } from "../strings.js";

const TITLE = 60; // characters of the first message

export class Controller {
  /** models: Map of id -> model; page: {show, stream, rename, finished, listChanged, complain, compare}. */
  constructor(store, models, page) {
    Object.assign(this, { store, models, page });
    this.chat = new Chat();
    this.live = new Map(); // conversations in which an answer is being written, also when another one is shown
    this.count = 0;
  }

  // Conversations

  begin(model) {
    this.chat = new Chat({ model });
    this.page.show(this.chat);
  }

  async open(id) {
    const chat = this.live.get(id) ?? new Chat(await this.store.get(id));
    this.chat = chat;
    this.page.show(chat);
  }

  /** Keeps changed fields of the conversation, if it was saved at all. */
  async change(fields, chat = this.chat) {
    Object.assign(chat, fields);
    if (chat.id) await this.#try(() => this.store.change(chat.id, fields));
  }

  // Messages

  /** False if the message could not be kept: the text then stays in the box. */
  async send(text, parent) {
    const chat = this.chat;
    if (chat.busy || this.sending) return false;
    this.sending = true;
    try {
      chat.endPair();
      chat.dropUnsaved();
      await this.#create(chat, text);
      await this.#add(chat, { role: "user", content: text, parent: parent === undefined ? chat.leaf : parent });
    } catch (error) {
      this.page.complain(error.message);
      return false;
    } finally {
      this.sending = false;
    }
    this.#answer(chat, chat.leaf);
    return true;
  }

  /** Answers a message that has no answer yet. */
  answer(id) {
    if (!this.chat.busy) this.#answer(this.chat, id);
  }

  regenerate(id) {
    const { chat } = this;
    if (chat.busy) return;
    const { parent, unsaved } = chat.tree.get(id);
    if (unsaved) chat.tree.remove(id);
    chat.leaf = parent;
    this.#answer(chat, parent);
  }

  async edit(id, text, goOn = false) {
    const { chat } = this;
    if (chat.busy) return false;
    const message = chat.tree.get(id);
    if (message.role === "user") return this.send(text, message.parent);
    const { parent, model } = message;
    const kept = await this.#try(() => this.#add(chat, { role: "assistant", content: text, parent, model, edited_from: id }));
    if (kept && goOn) this.#run(chat, parent, goOnPlan(chat, kept, this.#modelOf(kept)));
    return Boolean(kept);
  }

  goOn(id) {
    const { chat } = this;
    if (chat.busy) return;
    const message = chat.tree.get(id);
    this.#run(chat, message.parent, goOnPlan(chat, message, this.#modelOf(message)));
  }

  async branch(id, count, alternative) {
    const { chat } = this;
    if (chat.busy) return;
    if (chat.pair?.includes(id)) chat.endPair(id); // goes on with this one, without a preference
    const message = chat.tree.get(id);
    const plan = await this.#try(() => branchPlan(chat, message, this.#modelOf(message), count, alternative));
    if (plan) this.#run(chat, message.parent, plan);
  }

  step(id, by) {
    const { chat } = this;
    const siblings = chat.tree.siblings(id);
    const next = siblings[siblings.indexOf(id) + by];
    if (!next) return;
    chat.leaf = chat.tree.deepest(next);
    this.#turned(chat);
  }

  async rate(id, rating, reason) {
    const message = this.chat.tree.get(id);
    Object.assign(message, { rating, reason });
    this.page.show(this.chat);
    await this.#try(() => this.store.rate(id, rating, reason));
  }

  async pick(id, reason) {
    const { chat } = this;
    const rejected = chat.pair.find((one) => one !== id);
    const done = await this.#try(async () => (await this.store.prefer(id, rejected, reason), true));
    if (!done) return;
    chat.endPair(id);
    this.#turned(chat);
  }

  skip() {
    this.chat.endPair();
    this.#turned(this.chat);
  }

  /** Runs a failed request again, or saves again what could not be saved. */
  retry(id) {
    const { chat } = this;
    const message = chat.tree.get(id);
    if (!message.unsaved) return this.regenerate(id);
    if (message.written) return this.#keep(chat, message);
    const { parent, plan } = message;
    const place = chat.pair?.indexOf(id);
    chat.tree.remove(id);
    return this.#run(chat, parent, plan, place);
  }

  // Answers

  #answer(chat, parent) {
    const model = this.models.get(chat.model);
    if (!model) return this.page.complain(t("noModels"));
    const rival = this.page.compare();
    if (!rival) return this.#run(chat, parent, answerPlan(chat, parent, model));
    const seed = chat.settings.seed ?? anySeed();
    chat.pair = [null, null];
    this.#run(chat, parent, answerPlan(chat, parent, model, seed), 0);
    // The same model again needs another seed; two models are best compared with the same one.
    this.#run(chat, parent, answerPlan(chat, parent, rival, rival === model ? seed + 1 : seed), 1);
  }

  async #run(chat, parent, plan, place) {
    const answer = new Answer(plan);
    const message = { id: `live-${++this.count}`, parent, role: "assistant", content: answer.content, model: plan.model };
    Object.assign(message, { rating: 0, reason: "", details: {}, live: answer, plan, unsaved: true });
    chat.tree.add(message);
    chat.answers.set(message.id, answer);
    this.live.set(chat.id, chat);
    if (place >= 0) {
      chat.pair[place] = message.id;
    } else {
      chat.pair = null;
      chat.leaf = message.id;
    }
    if (!chat.pair?.includes(null)) this.#show(chat);
    await answer.run(() => {
      message.content = answer.content;
      this.page.stream(message);
    });
    chat.answers.delete(message.id);
    if (!chat.busy) this.live.delete(chat.id);
    await this.#ended(chat, message, answer);
  }

  async #ended(chat, message, answer) {
    Object.assign(message, { live: null, details: answer.details(), problem: answer.problem });
    if (answer.stopped && !message.content && !chat.pair) {
      chat.tree.remove(message.id);
      if (chat.leaf === message.id) chat.leaf = message.parent;
      return this.#shown(chat);
    }
    message.written = Boolean(message.content) || !answer.problem;
    if (message.written) await this.#keep(chat, message);
    else this.#show(chat);
    if (chat === this.chat) this.page.finished(message.problem || message.content || t("nothingSaid"));
  }

  async #keep(chat, { id, parent, role, content, model, details }) {
    try {
      const saved = await this.store.addMessage(chat.id, { role, content, parent, model, details });
      chat.replace(id, { ...saved, details });
      this.page.rename(id, saved.id);
    } catch (error) {
      chat.tree.get(id).problem = t("notSaved", { why: error.message });
    }
    this.#shown(chat);
  }

  async #create(chat, text) {
    if (chat.id) return;
    chat.title = text.trim().split("\n")[0].slice(0, TITLE);
    const { title, system, model, settings } = chat;
    chat.id = (await this.store.create({ title, system, model, settings })).id;
    this.page.listChanged();
  }

  async #add(chat, message) {
    const saved = await this.store.addMessage(chat.id, message);
    chat.tree.add(saved);
    chat.leaf = saved.id;
    this.#shown(chat);
    return saved;
  }

  /** Token ids and wording belong to the model that gave the answer, as long as the server has it. */
  #modelOf(message) {
    return this.models.get(message.model) ?? this.models.get(this.chat.model);
  }

  #show(chat) {
    if (chat === this.chat) this.page.show(chat);
  }

  #shown(chat) {
    this.#show(chat);
    this.page.listChanged();
  }

  /** Shows, and lets the store know which branch is shown, so that a reload finds it: it only knows of new messages. */
  #turned(chat) {
    this.#shown(chat);
    const leaf = chat.tree.get(chat.leaf);
    if (leaf && !leaf.unsaved) this.#try(() => this.store.change(chat.id, { leaf: leaf.id }));
  }

  async #try(action) {
    try {
      return await action();
    } catch (error) {
      this.page.complain(error.message);
      return null;
    }
  }
}
