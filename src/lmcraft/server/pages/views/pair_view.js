// Two answers to one message, side by side, until the person prefers one.

import { el } from "./dom.js";
import { MessageView } from "./message_view.js";
import { t } from "../strings.js";

export class PairView {
  constructor(controller, does) {
    this.controller = controller;
    this.views = [0, 1].map(() => new MessageView(controller, does));
    this.picks = [0, 1].map((i) => el("button", { type: "button", class: "main", onclick: () => this.#pick(i) }));
    this.reason = el("input", { type: "text", maxlength: "2000", dir: "auto" });
    this.skip = el("button", { type: "button", class: "quiet", onclick: () => controller.skip() });
    this.list = el("ol", { class: "columns" }, ...this.views.map(({ node }) => node));
    this.node = el("li", { class: "pair", tabindex: "-1" }, this.list, el("div", { class: "row" }, this.reason, this.skip));
  }

  show(messages, place) {
    this.messages = messages;
    messages.forEach((message, i) => {
      this.views[i].show(message, { ...place, paired: true, last: true });
      this.views[i].node.append(this.picks[i]);
    });
    this.list.setAttribute("aria-label", t("pair"));
    for (const pick of this.picks) pick.textContent = t("prefer");
    this.reason.placeholder = t("preferWhy");
    this.reason.setAttribute("aria-label", t("preferWhy"));
    this.skip.textContent = t("neither");
    this.skip.disabled = messages.some(({ live }) => live);
    // A preference needs two answers that the store has.
    for (const pick of this.picks) pick.disabled = messages.some(({ unsaved }) => unsaved);
  }

  /** The view of a message, if it is one of the two. */
  viewOf(id) {
    return this.views.find(({ message }) => message.id === id);
  }

  #pick(i) {
    return this.controller.pick(this.messages[i].id, this.reason.value.trim());
  }
}
