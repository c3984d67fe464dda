// The messages of the open conversation, from the first one to the leaf.

import { byId } from "./dom.js";
import { MessageView } from "./message_view.js";
import { PairView } from "./pair_view.js";

export class Transcript {
  /** handlers: {showPrompt(message), branch(message, index, alternative), hasLens(message), readLens(message, index, signal), report(message) or null, getReportProblem(), progressDrawn()}. */
  constructor(controller, scroller, handlers) {
    Object.assign(this, { controller, scroller, conversation: null, messagesInProgress: new Set() });
    this.handlers = { ...handlers, toggleTokens: (message) => this.#toggleTokens(message) };
    this.list = byId("messages");
  }

  show(conversation) {
    const isOther = conversation !== this.conversation;
    if (isOther) this.#reset(conversation);
    const focus = this.#saveFocus();
    const path = conversation.path();
    const nodes = path.map((message, i) => this.#showMessage(message, i === path.length - 1 && !conversation.pair));
    if (conversation.pair) nodes.push(this.#showPair(conversation.pair.map((id) => conversation.tree.get(id))));
    else this.pair = null;
    this.#arrange(nodes);
    this.#setButtonsDisabled(conversation.busy);
    byId("welcome").hidden = nodes.length > 0;
    this.#restoreFocus(focus);
    const hasNewAnswer = nodes.length && nodes.at(-1) !== this.lastNode && conversation.busy;
    this.lastNode = nodes.at(-1);
    if (isOther || hasNewAnswer) this.scroller.scrollToEnd();
    else this.scroller.follow();
  }

  /** Draws an answer in progress in the next frame, however many tokens arrive until then. */
  scheduleProgress(message) {
    if (!this.messagesInProgress.size) requestAnimationFrame(() => this.#drawProgress());
    this.messagesInProgress.add(message.id);
  }

  /** Opens the last question for editing. Returns whether there was one. */
  editLast() {
    const question = this.conversation.busy ? null : this.conversation.path().findLast(({ role }) => role === "user");
    if (!question) return false;
    this.views.get(question.id).edit();
    return true;
  }

  #reset(conversation) {
    this.conversation = conversation;
    this.views = new Map(); // message id -> MessageView
    this.pair = null;
    this.lastNode = null;
    this.tokenParents = new Set(); // ids of questions whose answers are shown as tokens, in all versions
  }

  #showMessage(message, isLast) {
    if (!this.views.has(message.id)) this.views.set(message.id, new MessageView(this.controller, this.handlers));
    const view = this.views.get(message.id);
    view.show(message, { ...this.#displayOptions(message), isLast, pairedWith: null });
    return view.node;
  }

  #showPair(messages) {
    this.pair ??= new PairView(this.controller, this.handlers);
    this.pair.show(messages, { ...this.#displayOptions(messages[0]), isBlind: this.controller.isPairBlind });
    return this.pair.node;
  }

  #displayOptions({ id, parent }) {
    return { siblings: this.conversation.tree.siblings(id), showTokens: this.tokenParents.has(parent) };
  }

  #toggleTokens({ parent }) {
    if (!this.tokenParents.delete(parent)) this.tokenParents.add(parent);
    this.show(this.conversation);
  }

  #drawProgress() {
    for (const id of this.messagesInProgress) (this.pair?.findView(id) ?? this.views.get(id))?.drawProgress();
    this.messagesInProgress.clear();
    this.handlers.progressDrawn();
    this.scroller.follow();
  }

  /** Puts the nodes into the list. Nodes that stay are not moved, because that would lay them out again. */
  #arrange(nodes) {
    let current = this.list.firstChild;
    for (const node of nodes) {
      if (current === node) current = current.nextSibling;
      else this.list.insertBefore(node, current);
    }
    while (current) {
      const next = current.nextSibling;
      current.remove();
      current = next;
    }
  }

  #setButtonsDisabled(busy) {
    for (const button of this.list.querySelectorAll("button.idle-only")) button.disabled = busy;
  }

  /** The action and the position of the focused button, or null. */
  #saveFocus() {
    const button = document.activeElement?.closest("#messages [data-act]");
    if (!button) return null;
    return { action: button.dataset.act, index: [...this.list.children].indexOf(button.closest("#messages > li")) };
  }

  /** Focuses the same button again if it was redrawn, so that keyboard users keep their position. */
  #restoreFocus(focus) {
    if (!focus || this.list.contains(document.activeElement)) return;
    const item = this.list.children[focus.index];
    const button = item?.querySelector(`[data-act="${focus.action}"]:enabled`) ?? item?.querySelector(".switcher button:enabled");
    (button ?? item)?.focus({ preventScroll: true });
  }
}
