// Conversations in this page's memory, for servers without a store. It has the methods of ServerStore.

import { buildTitle } from "../title.js";
import { createId } from "./ids.js";

const now = () => Date.now() / 1000;

export class MemoryStore {
  constructor() {
    this.conversations = new Map();
    this.preferences = [];
  }

  async list(search = "") {
    const query = search.toLowerCase();
    const matches = ({ title, messages }) => {
      const texts = [title, ...messages.map(({ content }) => content)];
      return texts.some((text) => text.toLowerCase().includes(query));
    };
    const data = [...this.conversations.values()].filter(matches).sort((a, b) => b.pinned - a.pinned || b.updated - a.updated);
    return { data, has_more: false };
  }

  async create(fields) {
    const conversation = { ...fields, leaf: null, pair: [], pinned: false, created: now(), updated: now(), messages: [] };
    this.conversations.set(conversation.id, conversation);
  }

  async get(id) {
    return this.conversations.get(id);
  }

  async update(id, fields) {
    const changesText = Object.keys(fields).some((name) => !["leaf", "pinned"].includes(name));
    Object.assign(this.conversations.get(id), fields, changesText ? { updated: now() } : {});
  }

  async remove(id) {
    this.conversations.delete(id);
  }

  async addMessage(id, fields) {
    const conversation = this.conversations.get(id);
    conversation.messages.push(createMessage(fields));
    conversation.leaf = fields.id;
    conversation.updated = now();
  }

  async rate(id, rating, reason) {
    for (const { messages } of this.conversations.values()) {
      const message = messages.find((candidate) => candidate.id === id);
      if (message) Object.assign(message, { rating, reason });
    }
  }

  async addPreference(chosen, rejected, reason) {
    this.preferences.push({ chosen, rejected, reason, created: now() });
  }

  get exportFormats() {
    return ["lmcraft"];
  }

  async exportAll() {
    const conversations = [...this.conversations.values()];
    return { format: "lmcraft-conversations", version: 1, conversations, preferences: this.preferences };
  }

  /** Accepts an export, or a list of {messages: [{role, content}]}. */
  async importAll(data) {
    const conversations = Array.isArray(data) ? data.map(createConversation) : data.conversations;
    for (const conversation of conversations) this.conversations.set(conversation.id, conversation);
    if (!Array.isArray(data)) this.preferences.push(...(data.preferences ?? []));
    return { imported: conversations.length };
  }
}

function createMessage({ id = createId(), role, content, parent, model = "", edited_from = null, details = {} }) {
  return { id, parent, role, content, model, edited_from, details, created: now(), rating: 0, reason: "" };
}

function createConversation({ messages }) {
  const system = messages.find(({ role }) => role === "system")?.content ?? "";
  const chain = [];
  for (const { role, content } of messages) {
    if (role === "user" || role === "assistant") chain.push(createMessage({ role, content, parent: chain.at(-1)?.id ?? null }));
  }
  const title = buildTitle(chain[0]?.content ?? "");
  const leaf = chain.at(-1)?.id ?? null;
  return { id: createId(), title, system, model: "", settings: {}, leaf, pair: [], pinned: false, created: now(), updated: now(), messages: chain };
}
