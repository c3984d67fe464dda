// The line under a rated answer in which the user may say why.

import { t } from "../strings.js";
import { el } from "./dom.js";
import { isComposing } from "./keyboard.js";

/** `save(reason)` also closes the form; `reason`: what was said before. */
export function buildReasonForm(reason, save, cancel) {
  const input = el("input", { type: "text", value: reason, maxlength: "1000", autocomplete: "off", dir: "auto", placeholder: t("reason"), "aria-label": t("reason") });
  input.addEventListener("keydown", (event) => {
    if (isComposing(event) || event.key !== "Escape") return;
    event.preventDefault();
    cancel();
  });
  const submit = (event) => {
    event.preventDefault();
    save(input.value.trim());
  };
  return el("form", { class: "row reason-form", onsubmit: submit }, input, el("button", { class: "quiet" }, t("save")));
}
