// Conversations in a store, behind a journal: every change is recorded at once, and saved in order as soon as the store takes it.

import { fetchJson } from "./api.js";
import { createId } from "./ids.js";
import { Journal, MemoryStorage } from "./journal.js";
import { MemoryStore } from "./memory_store.js";
import { ServerStore } from "./server_store.js";

const MIN_RETRY_MS = 500;
const MAX_RETRY_MS = 5000;
const CHANNEL = "lmcraft"; // on which tabs tell each other what they have changed
const NEW_CHAT = "new"; // in place of a conversation's id: the drafts of new chats, one for each tab
const LOCAL_KINDS = ["draft", "editor"]; // of items that are never sent to the store
const VIEW_FIELDS = ["leaf", "pair"];

/** The store has no NUL and no unpaired surrogates. A model may write either, and a shortened title may end in the latter. */
const sanitize = (text) => text.replaceAll("\0", "\ufffd").toWellFormed();

export class JournaledStore {
  /**
   * scope: identifies the server's store and the user; none: the server keeps no conversations.
   * handlers: {savingChanged(), changedElsewhere(id), removedElsewhere(id)}.
   */
  constructor(scope, handlers) {
    this.store = scope ? new ServerStore() : new MemoryStore();
    this.journal = new Journal(scope ? localStorage : new MemoryStorage(), scope);
    Object.assign(this, { handlers, problems: new Map(), isAway: false, saving: null, retryMs: MIN_RETRY_MS, cachedPage: { data: [], has_more: false } });
    this.channel = scope ? new BroadcastChannel(`${CHANNEL}/${scope}`) : null;
    this.channel?.addEventListener("message", ({ data }) => this.#hear(data));
    addEventListener("online", () => this.save());
    addEventListener("visibilitychange", () => document.hidden || this.save());
    addEventListener("beforeunload", (event) => this.journal.isWritten || event.preventDefault());
  }

  // Reading

  /** A page of conversations, those that are not in the store yet among them. While the store is away, what was last read. */
  async list(search = "", before = null) {
    let page;
    try {
      page = await this.store.list(search, before);
      if (!search && before === null) this.cachedPage = page;
    } catch (error) {
      if (!error.isTemporary || before !== null) throw error;
      const isMatch = ({ title }) => title.toLowerCase().includes(search.toLowerCase());
      page = { ...this.cachedPage, data: this.cachedPage.data.filter(isMatch) };
    }
    const entries = [...(before === null ? this.#listNew(page.data, search) : []), ...page.data];
    const data = entries.filter(({ id }) => !this.journal.get(id, "removal")).map((entry) => this.#withFields(entry));
    return { ...page, data };
  }

  /** A conversation with everything that is recorded about it. */
  async get(id) {
    if (await this.journal.adopt()) this.save();
    const earlierItems = this.journal.list(id);
    const created = earlierItems.find(({ kind }) => kind === "create");
    let conversation;
    try {
      conversation = await this.store.get(id);
    } catch (error) {
      if (!created) throw error;
      conversation = { id, ...created.value, messages: [], leaf: null };
    }
    // What was saved in the meantime is in the earlier items, what was recorded in the meantime in the later ones.
    return addItems(conversation, [...earlierItems, ...this.journal.list(id)], this.journal.tab);
  }

  /** Whether a message waits to be saved, once that takes longer than usual: {problem: why it was refused, or ""}; otherwise null. */
  describeSaving(conversation, id) {
    const item = this.journal.get(conversation, "message", id) ?? this.journal.get(conversation, "rating", id);
    if (!item || item.tab) return null;
    const problem = this.problems.get(item.key) ?? this.problems.get(this.journal.get(conversation, "create")?.key) ?? "";
    return problem || this.isAway ? { problem } : null;
  }

  // Writing

  create(id, { title, system, model, settings }) {
    this.#record(id, "create", "", { title: sanitize(title), system, model, settings });
  }

  /** isGrowing: the answer is still in progress. */
  addMessage(conversation, { id, role, content, parent, model, edited_from, details }, { isGrowing = false } = {}) {
    const message = { id, role, content: sanitize(content), parent, model, edited_from, details };
    this.#record(conversation, "message", id, message, { isGrowing });
  }

  update(conversation, fields) {
    for (const [name, value] of Object.entries(fields)) this.#record(conversation, "field", name, value);
  }

  rate(conversation, id, rating, reason) {
    this.#record(conversation, "rating", id, { rating, reason });
  }

  addPreference(conversation, chosen, rejected, reason) {
    this.#record(conversation, "preference", [chosen, rejected].sort().join("-"), { chosen, rejected, reason });
  }

  remove(id) {
    for (const item of this.journal.list(id)) this.journal.remove(item);
    this.#record(id, "removal", "", {});
    this.channel?.postMessage({ removed: id });
  }

  /** Gives up what belongs to this tab, because the page may end now. */
  release() {
    this.journal.release();
  }

  get exportFormats() {
    return this.store.exportFormats;
  }

  async exportAll(format) {
    await this.save();
    return this.store.exportAll(format);
  }

  async importAll(data) {
    const result = await this.store.importAll(data);
    this.channel?.postMessage({});
    return result;
  }

  /** Everything that the server has stored for this user. */
  async exportData() {
    await this.save();
    return fetchJson("GET", "/api/data");
  }

  /** Erases all of it, and what this browser keeps of it. Load the page anew after it. */
  async eraseData() {
    await fetchJson("DELETE", "/api/data");
    this.journal.erase();
    this.channel?.postMessage({ erased: true });
  }

  // Text that is typed and not sent. `conversation`: null for a new chat.

  getDraft(conversation) {
    return this.journal.get(conversation ?? NEW_CHAT, "draft", conversation ? "" : this.journal.tab)?.value ?? "";
  }

  setDraft(conversation, text) {
    this.#setLocal(conversation ?? NEW_CHAT, "draft", conversation ? "" : this.journal.tab, text || null, { isGrowing: !conversation });
  }

  getEditorText(conversation, id) {
    return this.journal.get(conversation, "editor", id)?.value ?? null;
  }

  setEditorText(conversation, id, text) {
    this.#setLocal(conversation, "editor", id, text);
  }

  #setLocal(conversation, kind, id, value, options) {
    if (value === null) this.journal.remove(this.journal.get(conversation, kind, id));
    else this.journal.put(conversation, kind, id, value, options);
  }

  // Saving

  /** Saves everything that can be saved now; repeated later if the store is away. */
  save() {
    this.saving ??= this.#saveAll().finally(() => (this.saving = null));
    return this.saving;
  }

  async #saveAll() {
    clearTimeout(this.timer);
    const changed = new Set();
    try {
      for (let item = this.#nextItem(); item; item = this.#nextItem()) {
        await this.#saveItem(item);
        changed.add(item.conversation);
        this.#setAway(false);
      }
    } catch (error) {
      if (!error.isUnauthorized) this.timer = setTimeout(() => this.save(), this.retryMs); // else the user has entered no key
      this.retryMs = Math.min(MAX_RETRY_MS, this.retryMs * 2);
      this.#setAway(true);
      if (!error.isTemporary) throw error; // a fault of this page
    } finally {
      for (const id of changed) this.channel?.postMessage({ changed: id });
    }
  }

  /** Saves again what the store has refused, together with the whole conversation, because it may be gone from the store. */
  saveAgain({ id, title, system, model, settings, tree }) {
    this.problems.clear();
    this.create(id, { title, system, model, settings });
    for (const message of tree.list()) if (!message.isTransient) this.addMessage(id, message);
  }

  /** Saves what other pages have left, and takes over the newest draft of a new chat from a tab that is gone. */
  async start() {
    await this.journal.adopt();
    this.save();
    const draft = this.journal.list(NEW_CHAT).findLast(({ tab }) => !tab);
    if (!draft || this.getDraft(null)) return;
    this.journal.remove(draft);
    this.setDraft(null, draft.value);
  }

  #record(...item) {
    this.problems.delete(this.journal.put(...item).key);
    this.save();
  }

  /** The first item that depends on nothing that is still to be saved. */
  #nextItem() {
    return this.journal.list().find((item) => {
      if (LOCAL_KINDS.includes(item.kind) || item.tab || this.problems.has(item.key)) return false;
      const isPending = (kind, id) => id && this.journal.get(item.conversation, kind, id);
      if (item.kind !== "create" && this.journal.get(item.conversation, "create")) return false;
      return !listReferences(item).some((id) => isPending("message", id));
    });
  }

  async #saveItem(item) {
    try {
      await this.#send(item);
    } catch (error) {
      if (error.isTemporary ?? true) throw error;
      this.#handleRefusal(item, error);
      return;
    }
    this.journal.remove(item);
    // The store opens the branch of a message that it has saved.
    const leaf = item.kind === "message" && this.journal.get(item.conversation, "field", "leaf");
    if (leaf && leaf.value === item.id) this.journal.remove(leaf);
  }

  #send({ conversation, kind, id, value }) {
    const { store } = this;
    if (kind === "create") return store.create({ id: conversation, ...value });
    if (kind === "message") return store.addMessage(conversation, value);
    if (kind === "rating") return store.rate(id, value.rating, value.reason);
    if (kind === "preference") return store.addPreference(value.chosen, value.rejected, value.reason);
    return kind === "removal" ? store.remove(conversation) : store.update(conversation, { [id]: value });
  }

  #handleRefusal(item, error) {
    const { conversation, kind, id, value } = item;
    if (kind === "removal" || (kind === "field" && VIEW_FIELDS.includes(id))) {
      this.journal.remove(item); // it is gone already, or has versions to show that are
    } else if (error.isConflict && kind === "create") {
      this.journal.remove(item); // it was created before, with fields that have changed since
      this.update(conversation, value);
    } else if (error.isConflict && kind === "message") {
      this.journal.remove(item); // another tab has saved an earlier state of it: keep both
      const copy = { ...value, id: createId() };
      this.journal.put(conversation, "message", copy.id, copy);
      this.handlers.changedElsewhere(conversation);
    } else {
      this.problems.set(item.key, error.message);
      this.handlers.savingChanged();
    }
  }

  #setAway(isAway) {
    if (!isAway) this.retryMs = MIN_RETRY_MS;
    if (isAway === this.isAway) return;
    this.isAway = isAway;
    this.handlers.savingChanged();
  }

  #hear({ changed, removed, erased }) {
    if (erased) {
      this.journal.erase();
      location.assign("/");
    } else if (removed) this.handlers.removedElsewhere(removed);
    else this.handlers.changedElsewhere(changed);
  }

  #listNew(known, search) {
    const ids = new Set(known.map(({ id }) => id));
    const items = this.journal.list().filter(({ kind, conversation }) => kind === "create" && !ids.has(conversation));
    const entries = items.map(({ conversation: id, value: { title, model }, order }) => ({ id, title, model, pinned: false, created: order / 1000, updated: order / 1000 }));
    return entries.filter(({ title }) => title.toLowerCase().includes(search.toLowerCase())).reverse();
  }

  #withFields(entry) {
    const items = ["title", "pinned"].map((name) => this.journal.get(entry.id, "field", name)).filter(Boolean);
    return { ...entry, ...Object.fromEntries(items.map(({ id, value }) => [id, value])) };
  }
}

/** The ids of the messages that must be in the store before this item. */
function listReferences({ kind, id, value }) {
  if (kind === "message") return [value.parent, value.edited_from];
  if (kind === "rating") return [id];
  if (kind === "preference") return [value.chosen, value.rejected];
  return kind === "field" && VIEW_FIELDS.includes(id) ? [value].flat() : [];
}

/** A conversation of the store with the recorded items. An answer that is in progress in another tab is not shown. */
function addItems(conversation, items, tab) {
  const messages = new Map(conversation.messages.map((message) => [message.id, message]));
  const fields = {};
  for (const { kind, id, value, tab: owner } of items) {
    const isElsewhere = owner && owner !== tab;
    if (kind === "field") fields[id] = value;
    else if (kind === "message" && !isElsewhere) messages.set(id, { created: 0, rating: 0, reason: "", ...value, ...pickRating(messages.get(id)) });
    else if (kind === "rating" && messages.has(id)) Object.assign(messages.get(id), value);
  }
  return { ...conversation, ...fields, messages: [...messages.values()] };
}

const pickRating = (message) => (message ? { created: message.created, rating: message.rating, reason: message.reason } : {});
