// A conversation on the page: its fields, its message tree, and its answers in progress.

import { MessageTree } from "./message_tree.js";

export class Conversation {
  constructor(fields = {}) {
    this.answers = new Map(); // message id -> the Answer in progress
    this.isRemoved = false;
    this.load(fields);
  }

  /** Takes the fields and messages of the store. Once it has messages, the branch that is open stays open. */
  load({ id = null, title = "", system = "", model = "", settings = {}, messages = [], leaf = null, pair = [] }) {
    const openLeaf = this.leaf;
    const transientMessages = this.tree?.list().filter(({ isTransient }) => isTransient) ?? [];
    Object.assign(this, { id, title, system, model, settings: { ...settings } });
    this.tree = new MessageTree([...messages, ...transientMessages]);
    this.leaf = this.#chooseLeaf(openLeaf, leaf, messages);
    // The two answers that are compared side by side, below the leaf.
    this.pair = pair.length && pair.every((member) => this.tree.get(member)) ? [...pair] : null;
    if (this.pair) this.leaf = this.tree.get(pair[0]).parent;
    this.storedView = { leaf, pair: pair.join() };
    this.leafBeforePair = null;
  }

  #chooseLeaf(openLeaf, leaf, messages) {
    if (openLeaf && this.tree.get(openLeaf)) return this.tree.newestLeaf(openLeaf);
    return this.tree.get(leaf) ? leaf : (messages.at(-1)?.id ?? null);
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

  /** Compares two answers to one message. null: the place of an answer that is about to be added. */
  startPair(members, parent) {
    this.leafBeforePair = this.leaf;
    this.pair = members;
    this.leaf = parent;
  }

  /** Ends the comparison. The conversation continues from the chosen answer, or else from where it was before. */
  endPair(chosen = null) {
    if (!this.pair) return;
    const member = chosen ?? this.pair.find((id) => !this.tree.get(id)?.isTransient) ?? this.leaf;
    const returnsBefore = !chosen && this.pair.some((id) => this.tree.path(this.leafBeforePair).includes(this.tree.get(id)));
    this.leaf = returnsBefore ? this.leafBeforePair : this.tree.newestLeaf(member);
    this.pair = null;
  }

  /** Removes an answer without any text, and goes back to what was open before it. */
  discard({ id, leafBefore }) {
    const other = this.pair?.includes(id) ? this.pair.find((member) => member !== id) : null;
    this.tree.remove(id);
    if (this.leaf === id || this.pair?.includes(id)) this.leaf = this.tree.get(other) ? other : leafBefore;
    if (this.pair?.includes(id)) this.pair = null;
  }

  /** Removes the leaf if it is an answer that has failed before its first token. */
  discardFailure() {
    const message = this.tree.get(this.leaf);
    if (message?.isTransient && !message.live) this.discard(message);
  }

  /** {leaf, pair} in terms of messages that the store has or will have; only what differs from the last call. */
  takeChangedView() {
    const isKept = (id) => this.tree.get(id) && !this.tree.get(id).isTransient;
    const pair = this.pair?.every(isKept) ? this.pair : [];
    const openLeaf = this.pair && !pair.length ? this.pair.find(isKept) : this.leaf;
    const leaf = isKept(openLeaf) ? openLeaf : (this.tree.get(openLeaf)?.leafBefore ?? this.leaf);
    const view = { leaf, pair: pair.join() };
    const changed = {};
    if (isKept(leaf) && view.leaf !== this.storedView.leaf) changed.leaf = leaf;
    if (view.pair !== this.storedView.pair) changed.pair = [...pair];
    this.storedView = view;
    return changed;
  }

  /** Tokens of the context in use at the leaf; 0 if unknown. */
  countUsedTokens() {
    const answer = this.path().findLast(({ role }) => role === "assistant");
    return answer?.live?.countUsedTokens() ?? answer?.details?.used ?? 0;
  }
}
