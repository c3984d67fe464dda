// The message box with its buttons, and how full the context is.

import { byId, el } from "./dom.js";
import { nameOf } from "../chat/models.js";
import { number, t } from "../strings.js";

const GROWS = CSS.supports("field-sizing", "content"); // elsewhere the height is set here
const WARN = 0.9; // of the context

export class Composer {
  /** does: {send(text) -> whether it was kept, stop(), editLast()}. */
  constructor(does) {
    this.does = does;
    this.input = byId("input");
    this.rival = byId("rival");
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("stop").addEventListener("click", () => does.stop());
    byId("compare").addEventListener("click", () => this.#toggleCompare());
    this.input.addEventListener("keydown", (event) => this.#key(event));
    this.input.addEventListener("input", () => this.#fit());
  }

  showModels(models) {
    const chosen = this.rival.value;
    this.rival.replaceChildren(...[...models.values()].map((model) => el("option", { value: model.id }, nameOf(model))));
    if (models.has(chosen)) this.rival.value = chosen;
  }

  /** The id of the model that gives a second answer, or null. */
  compares() {
    return byId("compare").getAttribute("aria-pressed") === "true" ? this.rival.value : null;
  }

  show(busy, used, context) {
    const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    if (hadFocus) this.input.focus();
    this.showContext(used, context);
  }

  showContext(used, context) {
    byId("context").hidden = !used || !context;
    if (!used || !context) return;
    const meter = byId("context-meter");
    meter.value = Math.min(1, used / context);
    byId("context").classList.toggle("full", used / context > WARN);
    const text = t("contextText", { used: number(used), context: number(context) });
    byId("context-text").textContent = text;
    meter.title = `${t("context")}: ${text}`;
  }

  async #send() {
    const text = this.input.value;
    if (!text.trim() || !byId("stop").hidden) return;
    this.#set("");
    if (!(await this.does.send(text)) && !this.input.value) this.#set(text);
  }

  #set(text) {
    this.input.value = text;
    this.#fit();
  }

  #fit() {
    if (GROWS) return;
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  #key(event) {
    if (isComposing(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.input.value && this.does.editLast()) {
      event.preventDefault();
    }
  }

  #toggleCompare() {
    const button = byId("compare");
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    byId("rival-box").hidden = !pressed;
  }
}

/** Enter that ends a composition belongs to the input method; Safari says 229 after isComposing is over. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;
