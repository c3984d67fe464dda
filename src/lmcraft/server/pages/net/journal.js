// What is on the screen and not yet in the server's store, kept in the browser. It survives a reload, a crash and a dead server.
//
// Each item has its own key in the storage, so that tabs do not overwrite each other's items. An item belongs to a tab while
// it is still growing there (an answer in progress, the draft of a new chat), and to nobody once it is complete.

import { createId } from "./ids.js";

const PREFIX = "lmcraft-journal";
const LOCK_PREFIX = "lmcraft-tab-";
const MAX_AGE_MS = 30 * 24 * 3600 * 1000;

/** A storage for servers that keep no conversations: it lasts as long as the page. */
export class MemoryStorage {
  #texts = new Map();

  getItem(key) {
    return this.#texts.get(key) ?? null;
  }

  setItem(key, text) {
    this.#texts.set(key, text);
  }

  removeItem(key) {
    this.#texts.delete(key);
  }

  keys() {
    return [...this.#texts.keys()];
  }
}

export class Journal {
  /** storage: localStorage or a MemoryStorage; scope: a text that identifies the server's store and the user. */
  constructor(storage, scope) {
    Object.assign(this, { storage, prefix: `${PREFIX}/${scope}/`, tab: createId(), count: 0 });
    this.items = new Map(); // key -> {key, conversation, kind, id, value, order, tab}
    this.unwritten = new Set(); // keys of items that the storage has no room for
    navigator.locks?.request(LOCK_PREFIX + this.tab, () => new Promise(() => {})); // held until the tab is gone
    for (const key of this.#listKeys()) this.#read(key, storage.getItem(key));
    addEventListener("storage", ({ key, newValue, storageArea }) => {
      if (storageArea === storage && key?.startsWith(this.prefix)) this.#read(key, newValue);
    });
  }

  /** Whether all items survive the end of the page. */
  get isWritten() {
    return !this.unwritten.size;
  }

  /** The items in the order of their recording; of one conversation, or of all. */
  list(conversation) {
    const items = [...this.items.values()].filter((item) => conversation === undefined || item.conversation === conversation);
    return items.sort((a, b) => a.order - b.order);
  }

  get(conversation, kind, id = "") {
    return this.items.get(this.#key(conversation, kind, id));
  }

  /** Records an item, or its new value. isGrowing: it belongs to this tab. */
  put(conversation, kind, id, value, { isGrowing = false } = {}) {
    const key = this.#key(conversation, kind, id);
    const order = (kind === "message" && this.items.get(key)?.order) || this.#nextOrder(); // a growing answer keeps its place
    const item = { key, conversation, kind, id, value, order, tab: isGrowing ? this.tab : null };
    if (this.isErased) return item;
    this.items.set(key, item);
    this.#write(item);
    return item;
  }

  /** Removes an item, unless it has been recorded again since. */
  remove(item) {
    if (!item || this.items.get(item.key) !== item) return;
    this.items.delete(item.key);
    this.unwritten.delete(item.key);
    this.storage.removeItem(item.key);
  }

  /** Completes the items of tabs that are gone. Returns whether there were any. */
  async adopt() {
    const owned = this.list().filter(({ tab }) => tab && tab !== this.tab);
    if (!owned.length) return false;
    const { held = [] } = (await navigator.locks?.query()) ?? {};
    const tabs = new Set(held.map(({ name }) => name));
    const orphans = owned.filter((item) => this.items.get(item.key) === item && !tabs.has(LOCK_PREFIX + item.tab));
    for (const { conversation, kind, id, value } of orphans) this.put(conversation, kind, id, value);
    return orphans.length > 0;
  }

  /** Removes all items, and takes no more: the page is about to end. */
  erase() {
    for (const item of this.list()) this.remove(item);
    this.isErased = true;
  }

  /** Gives up this tab's items, because the page may end now. */
  release() {
    for (const { conversation, kind, id, value, tab } of this.list()) if (tab === this.tab) this.put(conversation, kind, id, value);
  }

  #key(conversation, kind, id) {
    return `${this.prefix}${conversation}/${kind}/${id}`;
  }

  #nextOrder() {
    this.count += 1;
    return Date.now() + this.count / 1e4; // unique in this tab, and later than what earlier pages have recorded
  }

  #listKeys() {
    const keys = this.storage.keys?.() ?? Object.keys(this.storage);
    return keys.filter((key) => key.startsWith(this.prefix));
  }

  #read(key, text) {
    const [conversation, kind, id] = key.slice(this.prefix.length).split("/");
    if (text === null) return this.items.delete(key);
    try {
      const { value, order, tab } = JSON.parse(text);
      if (Date.now() - order < MAX_AGE_MS) return this.items.set(key, { key, conversation, kind, id, value, order, tab });
    } catch {
      // Not ours: it is removed like one that is too old.
    }
    return this.storage.removeItem(key);
  }

  /** Without room for the whole item, its text is worth more than its tokens. */
  #write({ key, value, order, tab }) {
    const values = value?.details?.tokens?.length ? [value, { ...value, details: { ...value.details, tokens: [], prompt_ids: null } }] : [value];
    for (const candidate of values) {
      try {
        this.storage.setItem(key, JSON.stringify({ value: candidate, order, tab }));
        return this.unwritten.delete(key);
      } catch {
        continue;
      }
    }
    return this.unwritten.add(key);
  }
}
