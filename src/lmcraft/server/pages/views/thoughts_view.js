// What the model thought before its answer: folded, with the time it took; open while there is no answer.

import { formatNumber, t } from "../strings.js";
import { el } from "./dom.js";
import { MarkdownView } from "./markdown.js";

const FOLLOW_PIXELS = 24; // so near its end, the text scrolls as it grows

export class ThoughtsView {
  constructor() {
    this.label = el("span");
    this.summary = el("summary", {}, this.label, el("span", { class: "dot", "aria-hidden": "true" }));
    this.body = el("div", { class: "thought-text markdown" });
    this.markdown = new MarkdownView(this.body);
    this.node = el("details", { class: "thoughts" }, this.summary, this.body);
    this.summary.addEventListener("click", () => (this.isUsersChoice = true)); // then the page no longer opens and closes it
    this.node.addEventListener("toggle", () => this.#drawText());
  }

  get isEmpty() {
    return !this.thoughts;
  }

  show({ live, content, details }) {
    const { thoughts = "", thoughtSeconds = 0 } = live ?? details ?? {};
    const isThinking = Boolean(live) && !content;
    const seconds = formatNumber(thoughtSeconds, thoughtSeconds < 10 ? 1 : 0);
    this.thoughts = thoughts;
    this.node.classList.toggle("thinking", isThinking);
    this.label.textContent = isThinking ? t("thinking", { seconds }) : thoughtSeconds ? t("thoughtFor", { seconds }) : t("thoughts");
    if (!this.isUsersChoice) this.node.open = !content;
    this.#drawText();
  }

  /** Text that nobody sees is not drawn. */
  #drawText() {
    if (!this.node.open || this.drawnThoughts === this.thoughts) return;
    this.drawnThoughts = this.thoughts;
    const { scrollTop, clientHeight, scrollHeight } = this.body;
    this.markdown.show(this.thoughts);
    if (scrollTop + clientHeight > scrollHeight - FOLLOW_PIXELS) this.body.scrollTop = this.body.scrollHeight;
  }
}
