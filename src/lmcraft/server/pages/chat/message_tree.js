// A conversation's messages: a tree, because every edit and every second answer is a branch.

export class Tree {
  constructor(messages = []) {
    this.messages = new Map();
    this.children = new Map([[null, []]]);
    for (const message of messages) this.add(message);
  }

  get(id) {
    return this.messages.get(id);
  }

  add(message) {
    this.messages.set(message.id, message);
    this.#childrenOf(message.parent).push(message.id);
  }

  /** Puts the saved message where the one that was still being written stood. */
  replace(id, message) {
    const siblings = this.#childrenOf(message.parent);
    siblings[siblings.indexOf(id)] = message.id;
    this.messages.delete(id);
    this.messages.set(message.id, message);
    this.children.set(message.id, this.children.get(id) ?? []);
    this.children.delete(id);
  }

  remove(id) {
    const siblings = this.siblings(id);
    siblings.splice(siblings.indexOf(id), 1);
    this.messages.delete(id);
  }

  siblings(id) {
    return this.#childrenOf(this.get(id).parent);
  }

  /** From the first message to this one. */
  path(id) {
    const path = [];
    for (let message = this.get(id); message; message = this.get(message.parent)) path.push(message);
    return path.reverse();
  }

  /** Down from a message along the newest answers. */
  deepest(id) {
    for (let below = this.#childrenOf(id); below.length; below = this.#childrenOf(id)) id = below.at(-1);
    return id;
  }

  #childrenOf(id) {
    if (!this.children.has(id)) this.children.set(id, []);
    return this.children.get(id);
  }
}
