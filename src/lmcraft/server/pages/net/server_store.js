// Conversations in the server's store.

import { fetchJson } from "./api.js";

const PAGE_SIZE = 50; // conversations

const conversationUrl = (id) => `/api/conversations/${encodeURIComponent(id)}`;

export class ServerStore {
  /** One page of conversations, newest first: {data, has_more}. `before`: the `updated` time of the last one shown. */
  list(search = "", before = null) {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    if (search) query.set("search", search);
    if (before !== null) query.set("before", String(before));
    return fetchJson("GET", `/api/conversations?${query}`);
  }

  create(conversation) {
    return fetchJson("POST", "/api/conversations", conversation);
  }

  get(id) {
    return fetchJson("GET", conversationUrl(id));
  }

  update(id, fields) {
    return fetchJson("PATCH", conversationUrl(id), fields);
  }

  remove(id) {
    return fetchJson("DELETE", conversationUrl(id));
  }

  addMessage(id, message) {
    return fetchJson("POST", `${conversationUrl(id)}/messages`, message);
  }

  rate(id, rating, reason) {
    return fetchJson("PUT", `/api/messages/${encodeURIComponent(id)}/rating`, { rating, reason });
  }

  addPreference(chosen, rejected, reason) {
    return fetchJson("POST", "/api/preferences", { chosen, rejected, reason });
  }

  /** Whose files `exportAll` writes; the first keeps everything. */
  get exportFormats() {
    return ["lmcraft", "open-webui", "chatgpt", "llama.cpp"];
  }

  exportAll(format) {
    return fetchJson("GET", `/api/export?format=${encodeURIComponent(format)}`);
  }

  importAll(data) {
    return fetchJson("POST", "/api/import", data);
  }
}
