// The form that replaces a message while the user edits it.

import { t } from "../strings.js";
import { el } from "./dom.js";
import { isComposing } from "./keyboard.js";

const MAX_ROWS = 16;

/** handlers: {change(text), save(text, thenContinue), cancel()}. Answers can be saved, or saved and continued. */
export function buildEditor(role, content, handlers) {
  const rows = Math.min(MAX_ROWS, content.split("\n").length + 1);
  const area = el("textarea", { value: content, dir: "auto", maxlength: "1000000", "aria-label": t("editMessage"), rows });
  const buildButton = (label, kind, onclick) => el("button", { type: "button", class: kind, onclick }, label);
  const save = (thenContinue) => area.value.trim() && handlers.save(area.value, thenContinue);
  const isUser = role === "user";
  area.addEventListener("input", () => handlers.change(area.value));
  area.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    if (event.key === "Escape") handlers.cancel();
    else if (event.key === "Enter" && (isUser ? !event.shiftKey : event.ctrlKey || event.metaKey)) save(false);
    else return;
    event.preventDefault();
  });
  const buttons = [
    buildButton(t("cancel"), "quiet", () => handlers.cancel()),
    !isUser && buildButton(t("saveAndContinue"), "quiet", () => save(true)),
    buildButton(t(isUser ? "send" : "save"), "main", () => save(false)),
  ];
  return el("div", { class: "editor" }, area, el("div", { class: "row buttons" }, ...buttons));
}
