// One conversation as the page holds it.

import { Tree } from "./message_tree.js";

export class Chat {
  constructor({ id = null, title = "", system = "", model = "", settings = {}, messages = [], leaf = null } = {}) {
    Object.assign(this, { id, title, system, model, settings: { ...settings } });
    this.tree = new Tree(messages);
    this.leaf = this.tree.get(leaf) ? leaf : (messages.at(-1)?.id ?? null);
    this.answers = new Map(); // id of a message that is being written -> its Answer
    this.pair = null; // ids of two answers to the leaf that stand side by side
  }

  get busy() {
    return this.answers.size > 0;
  }

  path() {
    return this.tree.path(this.leaf);
  }

  stop() {
    for (const answer of this.answers.values()) answer.stop();
  }

  /** Lets what has arrived of an answer be kept while the page is being left. */
  leave() {
    for (const answer of this.answers.values()) answer.leave();
  }

  /** Puts another message in the place of one: in the tree, as the leaf and in the pair. */
  replace(id, message) {
    this.tree.replace(id, message);
    if (this.leaf === id) this.leaf = message.id;
    if (this.pair) this.pair = this.pair.map((one) => (one === id ? message.id : one));
  }

  /** Ends the comparison; the first answer that was saved goes on unless one was chosen. */
  endPair(chosen = null) {
    if (!this.pair) return;
    this.leaf = chosen ?? this.pair.find((id) => !this.tree.get(id).unsaved) ?? this.leaf;
    this.pair = null;
  }

  /** Where the next message hangs: never on one that the store does not have. */
  dropUnsaved() {
    const message = this.tree.get(this.leaf);
    if (!message?.unsaved) return;
    this.tree.remove(message.id);
    this.leaf = message.parent;
  }

  /** Tokens in use at the end of what is shown, or 0 where nobody counted. */
  used() {
    const last = this.path().findLast(({ role }) => role === "assistant");
    return last?.live?.used() ?? last?.details?.used ?? 0;
  }
}
