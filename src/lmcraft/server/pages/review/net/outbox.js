// Decisions (verdicts, skips, escalations) that the server has not acknowledged yet, and drafts of verdicts, kept in the browser.
// They survive a reload, a crash and a dead server. A decision is sent again with the same id, so the server counts it once.

import { fetchJson } from "../../net/api.js";
import { Journal } from "../../net/journal.js";

const MIN_RETRY_MS = 500;
const MAX_RETRY_MS = 5000;
const DRAFT = "draft"; // the kind of a journal's item; the other kinds are the last part of a decision's address

export class Outbox {
  /** user: whose decisions. refused(item, error) is called when nobody else handles that. */
  constructor(user, refused) {
    this.defaultHandlers = { changed() {}, refused };
    Object.assign(this, { handlers: this.defaultHandlers, isAway: false, sending: null, retryMs: MIN_RETRY_MS, refusals: new Set() });
    this.journal = new Journal(localStorage, `review-${encodeURIComponent(user)}`);
    this.send = this.send.bind(this);
    this.channel = new BroadcastChannel(`lmcraft-review-${user}`); // other tabs of this user
    this.channel.addEventListener("message", ({ data }) => this.handlers.decided?.(data));
    addEventListener("online", this.send);
    addEventListener("visibilitychange", () => document.hidden || this.send());
    addEventListener("beforeunload", (event) => this.journal.isWritten || event.preventDefault());
  }

  /** The view that is shown takes over: {changed(), refused(item, error), decided(item)}, or null. changed: the server is away, or back; decided: in another tab. */
  setHandlers(handlers) {
    this.handlers = handlers ?? this.defaultHandlers;
  }

  /** How many decisions the server has not acknowledged. */
  get size() {
    return this.#list().length;
  }

  /** Records a decision, and sends it. Resolves to "sent", "refused", or "kept" until the server is back. */
  async submit(item, action, body) {
    const entry = this.journal.put(encodeURIComponent(item), action, body.id ?? "", body);
    this.setDraft(item, null);
    await this.send();
    if (this.#isKept(entry) && !this.isAway) await this.send(); // another sending was under way
    if (this.#isKept(entry)) return "kept";
    return this.refusals.has(entry.key) ? "refused" : "sent";
  }

  /** Whether a decision about the item waits to be sent. */
  has(item) {
    return this.#list().some(({ conversation }) => conversation === encodeURIComponent(item));
  }

  getDraft(item) {
    return this.journal.get(encodeURIComponent(item), DRAFT)?.value ?? null;
  }

  setDraft(item, draft) {
    const id = encodeURIComponent(item);
    if (draft) this.journal.put(id, DRAFT, "", draft);
    else this.journal.remove(this.journal.get(id, DRAFT));
  }

  /** Sends everything that can be sent now; repeated later if the server is away. */
  send() {
    this.sending ??= this.#sendAll().finally(() => (this.sending = null));
    return this.sending;
  }

  #isKept({ key }) {
    return this.#list().some((entry) => entry.key === key);
  }

  #list() {
    return this.journal.list().filter(({ kind }) => kind !== DRAFT);
  }

  async #sendAll() {
    clearTimeout(this.timer);
    let problem = null;
    for (const item of this.#list()) {
      const error = await this.#sendItem(item);
      if (!error) continue;
      problem = error;
      if (error.status < 500) break; // the server is away, or wants a key; a failure at one decision does not stop the others
    }
    this.retryMs = problem ? Math.min(MAX_RETRY_MS, 2 * this.retryMs) : MIN_RETRY_MS;
    if (problem && !problem.isUnauthorized) this.timer = setTimeout(this.send, this.retryMs);
    if (this.isAway === Boolean(problem)) return;
    this.isAway = Boolean(problem);
    this.handlers.changed();
  }

  /** Returns the error if it is worth trying again. A decision that the server refuses becomes a draft. */
  async #sendItem(item) {
    const id = decodeURIComponent(item.conversation);
    try {
      await fetchJson("POST", `/api/review/items/${encodeURIComponent(id)}/${item.kind}`, item.value);
    } catch (error) {
      if (error.isTemporary || error.status >= 500) return error;
      if (error.status === undefined) throw error; // a fault of this page
      this.journal.remove(item);
      this.refusals.add(item.key);
      if (item.value.label && error.report?.code !== "already_judged") this.setDraft(id, draftOf(item.value));
      this.handlers.refused(id, error);
      return null;
    }
    this.journal.remove(item);
    this.channel.postMessage(id);
    return null;
  }
}

/** What the user has chosen and written, of a verdict that was not accepted. */
function draftOf({ label, rule, comment = "", correction = "", contains = [], excludes = [] }) {
  return { label, rule, comment, correction, contains: contains.join("\n"), excludes: excludes.join("\n"), isSeen: true };
}
