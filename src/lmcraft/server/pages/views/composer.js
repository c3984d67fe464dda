// The message box with its buttons, and the context meter.

import { joinFiles, splitFiles } from "../chat/attached_files.js";
import { formatModelName } from "../chat/models.js";
import { formatNumber, t } from "../strings.js";
import { Attachments } from "./attachments.js";
import { byId, el } from "./dom.js";
import { isComposing } from "./keyboard.js";

const GROWS_WITH_TEXT = CSS.supports("field-sizing", "content"); // otherwise this module sets the height
const CONTEXT_WARNING = 0.9; // fraction of the context
const HAS_SCREEN_KEYBOARD = matchMedia("(pointer: coarse)").matches; // it would cover half of the page

export class Composer {
  /** handlers: {send(text) -> whether it was sent, draft(text), stop(), editLast() -> whether there was a message to edit, getModel(), suggestSecondModel() -> id}. */
  constructor(handlers) {
    this.handlers = handlers;
    this.box = byId("composer").querySelector("fieldset");
    this.input = byId("input");
    this.secondModel = byId("second-model");
    this.attachments = new Attachments({ changed: () => handlers.draft(this.content), getModel: handlers.getModel });
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("stop").addEventListener("click", () => handlers.stop());
    byId("compare").addEventListener("click", () => this.#toggleComparison());
    this.input.addEventListener("keydown", (event) => this.#handleKey(event));
    this.input.addEventListener("input", () => {
      this.#fitHeight();
      handlers.draft(this.content);
    });
  }

  showModels(models) {
    const selected = this.secondModel.value;
    const options = [...models.values()].map((model) => el("option", { value: model.id }, formatModelName(model)));
    this.secondModel.replaceChildren(...options);
    if (models.has(selected)) this.secondModel.value = selected;
  }

  /** The id of the model that writes a second answer; null without a comparison. */
  getSecondModelId() {
    return byId("compare").getAttribute("aria-pressed") === "true" ? this.secondModel.value : null;
  }

  /** Whether the names of the two models are hidden until one answer is picked. */
  get isBlind() {
    return byId("blind").checked;
  }

  show(busy, usedTokens, context) {
    const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
    this.box.disabled = false; // until a conversation is shown, there is none to write to
    byId("send").hidden = busy;
    byId("stop").hidden = !busy;
    if (hadFocus) this.input.focus();
    this.showContextUsage(usedTokens, context);
  }

  focus() {
    if (!HAS_SCREEN_KEYBOARD) this.input.focus();
  }

  /** Puts an example into the message box, to be changed or sent. */
  fill(text) {
    this.setText(text);
    this.handlers.draft(text);
    this.input.focus();
  }

  /** Both in tokens. */
  showContextUsage(used, context) {
    byId("context").hidden = !used || !context;
    if (!used || !context) return;
    const meter = byId("context-meter");
    meter.value = Math.min(1, used / context);
    byId("context").classList.toggle("full", used / context > CONTEXT_WARNING);
    const text = t("contextText", { used: formatNumber(used), context: formatNumber(context) });
    byId("context-text").textContent = text;
    meter.title = `${t("context")}: ${text}`;
  }

  /** The message so far, with its files. */
  get content() {
    return joinFiles(this.attachments.files, this.input.value);
  }

  #send() {
    const text = this.content;
    if (!text.trim() || !this.handlers.send(text)) return;
    this.setText("");
    this.handlers.draft("");
  }

  setText(content) {
    const { files, text } = splitFiles(content);
    this.attachments.show(files);
    this.input.value = text;
    this.#fitHeight();
  }

  #fitHeight() {
    if (GROWS_WITH_TEXT) return;
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  #handleKey(event) {
    if (isComposing(event)) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "ArrowUp" && !this.input.value && this.handlers.editLast()) {
      event.preventDefault();
    }
  }

  #toggleComparison() {
    const button = byId("compare");
    const pressed = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(pressed));
    byId("second-model-box").hidden = !pressed;
    byId("blind-box").hidden = !pressed;
    if (pressed) this.secondModel.value = this.handlers.suggestSecondModel();
  }
}
