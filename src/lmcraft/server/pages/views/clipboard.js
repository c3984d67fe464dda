// Copies text to the clipboard.

import { el } from "./dom.js";
import { buildIcon } from "./icons.js";

const CONFIRMATION_MS = 1500;

/** Copies the text, and shows a check mark on the button for a moment. */
export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copySelection(text); // navigator.clipboard only exists on https and localhost
  }
  const icon = button.querySelector("svg");
  const checkMark = buildIcon("check");
  icon?.replaceWith(checkMark);
  setTimeout(() => icon && checkMark.replaceWith(icon), CONFIRMATION_MS);
}

function copySelection(text) {
  const area = el("textarea", { value: text, class: "visually-hidden", "aria-hidden": "true" });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}
