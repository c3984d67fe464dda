// The form in the place of a message that is being rewritten.

import { isComposing } from "./composer.js";
import { el } from "./dom.js";
import { t } from "../strings.js";

/** does: {save(text, goOn) -> whether it was kept, cancel()}. An answer can be saved, or saved and continued. */
export function editor({ role, content }, does) {
  const area = el("textarea", { value: content, dir: "auto", maxlength: "1000000", "aria-label": t("editLabel"), rows: Math.min(16, content.split("\n").length + 1) });
  const button = (label, kind, action) => el("button", { type: "button", class: kind, onclick: action }, label);
  const save = async (goOn) => {
    if (!area.value.trim() || area.disabled) return;
    area.disabled = true; // a second Enter must not save twice
    if (!(await does.save(area.value, goOn))) area.disabled = false;
  };
  const asked = role === "user";
  area.addEventListener("keydown", (event) => {
    if (isComposing(event)) return;
    if (event.key === "Escape") does.cancel();
    else if (event.key === "Enter" && (asked ? !event.shiftKey : event.ctrlKey || event.metaKey)) save(false);
    else return;
    event.preventDefault();
  });
  return el(
    "div",
    { class: "editor" },
    area,
    el(
      "div",
      { class: "row buttons" },
      button(t("cancel"), "quiet", () => does.cancel()),
      !asked && button(t("saveAndGo"), "quiet", () => save(true)),
      button(t(asked ? "saveAndSend" : "save"), "main", () => save(false)),
    ),
  );
}
