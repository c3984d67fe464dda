// What is asked before an item is skipped or escalated.

import { t } from "../../strings.js";
import { askForm, openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";
import { isComposing } from "../../views/keyboard.js";
import { readKey } from "../../views/keys.js";

const SKIP_REASONS = ["expertise", "conflict", "distress", "other"]; // as they are stored

/** Resolves to why the item is skipped, or to null if it is not. */
export function askSkipReason() {
  return new Promise((resolve) => {
    let reason = null;
    const choose = (chosen) => {
      reason = chosen;
      dialog.close();
    };
    const buttons = SKIP_REASONS.map((name, index) =>
      el("button", { type: "button", class: "choice", onclick: () => choose(name) }, el("kbd", { "aria-hidden": "true" }, String(index + 1)), t(`skip_${name}`)),
    );
    const dialog = openDialog(t("skipTitle"), [el("p", { class: "note" }, t("skipHelp")), el("div", { class: "choices" }, ...buttons)], { small: true, onclose: () => resolve(reason) });
    dialog.addEventListener("keydown", (event) => buttons[Number(readKey(event)) - 1]?.click());
    buttons[0].focus();
  });
}

/** Resolves to a comment, or to null if the item is not escalated. */
export function askEscalation() {
  const area = el("textarea", { rows: 3, dir: "auto", maxlength: "4000", autofocus: true, "aria-label": t("escalateWhy") });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !isComposing(event)) area.form.requestSubmit();
  });
  const note = el("p", { class: "note" }, t("escalateWhy"));
  return askForm(t("escalateTitle"), [note, area], { submitLabel: t("escalate"), getResult: () => area.value.trim() });
}
