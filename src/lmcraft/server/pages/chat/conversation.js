// A conversation on the page: its fields, its message tree, and its answers in progress.

import { MessageTree } from "./message_tree.js";

export class Conversation {
  constructor({ id = null, title = "", system = "", model = "", settings = {}, messages = [], leaf = null } = {}) {
    Object.assign(this, { id, title, system, model, settings: { ...settings } });
    this.tree = new MessageTree(messages);
    this.leaf = this.tree.get(leaf) ? leaf : (messages.at(-1)?.id ?? null);
    this.answers = new Map(); // message id -> the Answer in progress
    this.pair = null; // ids of the two answers to the leaf that are compared side by side
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

  /** Stops the answers in a way that lets their text be saved while the page unloads. */
  stopForUnload() {
    for (const answer of this.answers.values()) answer.stopForUnload();
  }

  /** Replaces a message in the tree, as the leaf and in the pair. */
  replace(id, message) {
    this.tree.replace(id, message);
    if (this.leaf === id) this.leaf = message.id;
    if (this.pair) this.pair = this.pair.map((member) => (member === id ? message.id : member));
  }

  /** Ends the comparison. The conversation continues from the chosen answer, or else from the first one that was saved. */
  endPair(chosen = null) {
    if (!this.pair) return;
    this.leaf = chosen ?? this.pair.find((id) => !this.tree.get(id).unsaved) ?? this.leaf;
    this.pair = null;
  }

  /** Removes an unsaved leaf: the parent of a new message must be in the store. */
  dropUnsavedLeaf() {
    const message = this.tree.get(this.leaf);
    if (!message?.unsaved) return;
    this.tree.remove(message.id);
    this.leaf = message.parent;
  }

  /** Tokens of the context in use at the leaf; 0 if unknown. */
  countUsedTokens() {
    const answer = this.path().findLast(({ role }) => role === "assistant");
    return answer?.live?.countUsedTokens() ?? answer?.details?.used ?? 0;
  }
}
