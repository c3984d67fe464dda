// Conversations: kept by the server, or in this page's memory where the server keeps none.

import { request } from "./api.js";

/** The store refuses NUL and halves of a surrogate pair; a model may say either, and a cut title may end in one. */
const keepable = (text) => text.replaceAll("\0", "\ufffd").toWellFormed();

export class ServerStore {
  list(search = "", before = null) {
    const query = new URLSearchParams({ limit: "50" });
    if (search) query.set("search", search);
    if (before !== null) query.set("before", String(before));
    return request("GET", `/api/conversations?${query}`);
  }

  create(conversation) {
    return request("POST", "/api/conversations", { ...conversation, title: keepable(conversation.title) });
  }

  get(id) {
    return request("GET", `/api/conversations/${encodeURIComponent(id)}`);
  }

  change(id, fields) {
    return request("PATCH", `/api/conversations/${encodeURIComponent(id)}`, fields);
  }

  remove(id) {
    return request("DELETE", `/api/conversations/${encodeURIComponent(id)}`);
  }

  addMessage(id, message) {
    return request("POST", `/api/conversations/${encodeURIComponent(id)}/messages`, { ...message, content: keepable(message.content) });
  }

  rate(id, rating, reason) {
    return request("PUT", `/api/messages/${encodeURIComponent(id)}/rating`, { rating, reason });
  }

  prefer(chosen, rejected, reason) {
    return request("POST", "/api/preferences", { chosen, rejected, reason });
  }

  exportAll() {
    return request("GET", "/api/export");
  }

  importAll(given) {
    return request("POST", "/api/import", given);
  }
}

const newId = () => crypto.getRandomValues(new Uint32Array(4)).reduce((text, n) => text + n.toString(16).padStart(8, "0"), "");
const now = () => Date.now() / 1000;

/** The same methods, for as long as the page is open. */
export class MemoryStore {
  constructor() {
    this.conversations = new Map();
    this.preferences = [];
  }

  async list(search = "") {
    const wanted = search.toLowerCase();
    const holds = ({ title, messages }) => [title, ...messages.map((m) => m.content)].some((text) => text.toLowerCase().includes(wanted));
    const data = [...this.conversations.values()].filter(holds).sort((a, b) => b.updated - a.updated);
    return { data, has_more: false };
  }

  async create({ title = "", system = "", model = "", settings = {} }) {
    const made = { id: newId(), title, system, model, settings, leaf: null, created: now(), updated: now(), messages: [] };
    this.conversations.set(made.id, made);
    return made;
  }

  async get(id) {
    return this.conversations.get(id);
  }

  async change(id, fields) {
    Object.assign(this.conversations.get(id), fields, { updated: now() });
  }

  async remove(id) {
    this.conversations.delete(id);
  }

  async addMessage(id, { role, content, parent, model = "", edited_from = null, details = {} }) {
    const message = { id: newId(), parent, role, content, model, edited_from, details, created: now(), rating: 0, reason: "" };
    const conversation = this.conversations.get(id);
    if (!conversation) return message; // deleted while it was being answered
    conversation.messages.push(message);
    conversation.leaf = message.id;
    conversation.updated = now();
    return message;
  }

  async rate(id, rating, reason) {
    for (const { messages } of this.conversations.values()) {
      const message = messages.find((one) => one.id === id);
      if (message) Object.assign(message, { rating, reason });
    }
  }

  async prefer(chosen, rejected, reason) {
    this.preferences.push({ chosen, rejected, reason, created: now() });
  }

  async exportAll() {
    const conversations = [...this.conversations.values()];
    return { format: "lmcraft-conversations", version: 1, conversations, preferences: this.preferences };
  }

  async importAll(given) {
    const lists = Array.isArray(given) ? given.map(fromMessages) : given.conversations;
    for (const one of lists) this.conversations.set(one.id, one);
    if (!Array.isArray(given)) this.preferences.push(...(given.preferences ?? []));
    return { imported: lists.length };
  }
}

function fromMessages({ messages }) {
  const system = messages.find(({ role }) => role === "system")?.content ?? "";
  let parent = null;
  const chain = messages
    .filter(({ role }) => role === "user" || role === "assistant")
    .map(({ role, content }) => {
      const id = newId();
      const message = { id, parent, role, content, model: "", edited_from: null, details: {}, created: now(), rating: 0, reason: "" };
      parent = id;
      return message;
    });
  const title = (chain[0]?.content ?? "").slice(0, 60);
  return { id: newId(), title, system, model: "", settings: {}, leaf: parent, created: now(), updated: now(), messages: chain };
}
