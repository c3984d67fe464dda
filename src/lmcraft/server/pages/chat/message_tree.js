// The messages of a conversation. They form a tree, because each edit and each regenerated answer starts a branch.

export class MessageTree {
  constructor(messages = []) {
    this.messages = new Map();
    this.children = new Map([[null, []]]);
    for (const message of messages) this.add(message);
  }

  get(id) {
    return this.messages.get(id);
  }

  /** All messages, each after its parent. */
  list() {
    return [...this.messages.values()];
  }

  add(message) {
    this.messages.set(message.id, message);
    this.#childrenOf(message.parent).push(message.id);
  }

  remove(id) {
    const siblings = this.siblings(id);
    siblings.splice(siblings.indexOf(id), 1);
    this.messages.delete(id);
  }

  siblings(id) {
    return this.#childrenOf(this.get(id).parent);
  }

  /** The messages from the root to this one. */
  path(id) {
    const path = [];
    for (let message = this.get(id); message; message = this.get(message.parent)) path.push(message);
    return path.reverse();
  }

  /** The leaf below a message, along the newest child of each message. */
  newestLeaf(id) {
    for (let children = this.#childrenOf(id); children.length; children = this.#childrenOf(id)) id = children.at(-1);
    return id;
  }

  #childrenOf(id) {
    if (!this.children.has(id)) this.children.set(id, []);
    return this.children.get(id);
  }
}
