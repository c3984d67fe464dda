// The messages of the conversation, from the first to the last of the branch that is shown.

import { byId } from "./dom.js";
import { MessageView } from "./message_view.js";
import { PairView } from "./pair_view.js";

export class Transcript {
  /** does: {prompt(message), answer(message), branch(message, index, alternative), drawn()}. */
  constructor(controller, scroller, does) {
    Object.assign(this, { controller, scroller, chat: null, streaming: new Set() });
    this.does = { ...does, toggleTokens: (message) => this.#toggleTokens(message) };
    this.list = byId("messages");
  }

  show(chat) {
    const another = chat !== this.chat;
    if (another) this.#begin(chat);
    const focus = this.#focused();
    const path = chat.path();
    const nodes = path.map((message, i) => this.#message(message, i === path.length - 1 && !chat.pair));
    if (chat.pair) nodes.push(this.#pair(chat.pair.map((id) => chat.tree.get(id))));
    else this.pair = null;
    this.#arrange(nodes);
    this.#rest(chat.busy);
    byId("welcome").hidden = nodes.length > 0;
    this.#refocus(focus);
    const grew = nodes.length && nodes.at(-1) !== this.lastNode && chat.busy;
    this.lastNode = nodes.at(-1);
    if (another || grew) this.scroller.toEnd();
    else this.scroller.follow();
  }

  /** Draws a growing answer once per frame, however many tokens came. */
  stream(message) {
    if (!this.streaming.size) requestAnimationFrame(() => this.#drawStreams());
    this.streaming.add(message.id);
  }

  rename(id, saved) {
    const view = this.views.get(id);
    if (!view) return;
    this.views.delete(id);
    this.views.set(saved, view);
  }

  editLast() {
    const last = this.chat.busy ? null : this.chat.path().findLast(({ role }) => role === "user");
    if (!last) return false;
    this.views.get(last.id).edit();
    return true;
  }

  #begin(chat) {
    this.chat = chat;
    this.views = new Map(); // id -> MessageView
    this.pair = null;
    this.lastNode = null;
    this.tokensAt = new Set(); // ids of messages whose answers are shown by token: siblings share it
  }

  #message(message, last) {
    if (!this.views.has(message.id)) this.views.set(message.id, new MessageView(this.controller, this.does));
    const view = this.views.get(message.id);
    view.show(message, { ...this.#place(message), last, paired: false });
    return view.node;
  }

  #pair(messages) {
    this.pair ??= new PairView(this.controller, this.does);
    this.pair.show(messages, this.#place(messages[0]));
    return this.pair.node;
  }

  #place({ id, parent }) {
    return { siblings: this.chat.tree.siblings(id), tokens: this.tokensAt.has(parent) };
  }

  #toggleTokens({ parent }) {
    if (!this.tokensAt.delete(parent)) this.tokensAt.add(parent);
    this.show(this.chat);
  }

  #drawStreams() {
    for (const id of this.streaming) (this.pair?.viewOf(id) ?? this.views.get(id))?.stream();
    this.streaming.clear();
    this.does.drawn();
    this.scroller.follow();
  }

  /** Nodes that stay are not touched: moving one would make the browser lay it out again. */
  #arrange(nodes) {
    let at = this.list.firstChild;
    for (const node of nodes) {
      if (at === node) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  #rest(busy) {
    for (const button of this.list.querySelectorAll("button.rests")) button.disabled = busy;
  }

  /** Which button of which message has the focus. */
  #focused() {
    const button = document.activeElement?.closest("#messages [data-act]");
    if (!button) return null;
    return { act: button.dataset.act, index: [...this.list.children].indexOf(button.closest("#messages > li")) };
  }

  /** People who use the keyboard go on where they were, also when that button was drawn anew. */
  #refocus(focus) {
    if (!focus || this.list.contains(document.activeElement)) return;
    const item = this.list.children[focus.index];
    const button = item?.querySelector(`[data-act="${focus.act}"]:enabled`) ?? item?.querySelector(".switcher button:enabled");
    (button ?? item)?.focus({ preventScroll: true });
  }
}
