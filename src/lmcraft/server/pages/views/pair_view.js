// Two answers to one message side by side, until the user picks one or skips.

import { t } from "../strings.js";
import { el } from "./dom.js";
import { MessageView } from "./message_view.js";
import { showToast } from "./toasts.js";

const REASON = "reason"; // in place of the id of a message that is edited

export class PairView {
  constructor(controller, handlers) {
    this.controller = controller;
    this.views = [0, 1].map(() => new MessageView(controller, handlers));
    this.picks = [0, 1].map((i) => el("button", { type: "button", class: "main", onclick: () => this.#pick(i) }));
    this.reason = el("input", { type: "text", maxlength: "2000", dir: "auto", value: controller.getEditorText(REASON) ?? "" });
    this.reason.addEventListener("input", () => controller.setEditorText(REASON, this.reason.value || null));
    this.skip = el("button", { type: "button", class: "quiet", onclick: () => this.#skip() });
    this.list = el("ol", { class: "columns" }, ...this.views.map(({ node }) => node));
    this.node = el("li", { class: "pair", tabindex: "-1" }, this.list, el("div", { class: "row" }, this.reason, this.skip));
  }

  show(messages, display) {
    Object.assign(this, { messages, isBlind: display.isBlind });
    messages.forEach((message, i) => {
      this.views[i].show(message, { ...display, pairedWith: messages[1 - i].id, isLast: true, letter: display.isBlind ? "AB"[i] : null });
      this.views[i].node.append(this.picks[i]);
    });
    this.list.setAttribute("aria-label", t("pair"));
    for (const pick of this.picks) pick.textContent = t("prefer");
    this.reason.placeholder = t("preferReason");
    this.reason.setAttribute("aria-label", t("preferReason"));
    this.skip.textContent = t("skipPreference");
    this.skip.disabled = messages.some(({ live }) => live);
    for (const pick of this.picks) pick.disabled = messages.some(({ live, isTransient }) => live || isTransient);
  }

  /** The view of a message, if it is one of the pair. */
  findView(id) {
    return this.views.find(({ message }) => message.id === id);
  }

  #skip() {
    this.controller.setEditorText(REASON, null);
    this.controller.skipPreference();
  }

  #pick(i) {
    this.controller.setEditorText(REASON, null);
    const { id, model } = this.messages[i];
    const { model: other } = this.messages[1 - i];
    if (this.isBlind && model !== other) showToast(t("revealed", { model, other }), "done");
    this.controller.prefer(id, this.reason.value.trim());
  }
}
