// A hint about the token view and the exact prompt, shown under answers until the user has read it.

import { t } from "../strings.js";
import { el } from "./dom.js";

const SEEN_ITEM = "lmcraft-hint-seen"; // in the local storage

export const isHintSeen = () => localStorage.getItem(SEEN_ITEM) !== null;

/** Removes the hint from the page, for good. */
export function markHintSeen() {
  localStorage.setItem(SEEN_ITEM, "1");
  for (const hint of document.querySelectorAll(".hint")) hint.remove();
}

export function buildHint() {
  const close = el("button", { type: "button", class: "quiet", onclick: markHintSeen }, t("gotIt"));
  return el("div", { class: "hint", role: "note" }, el("span", {}, t("hint")), close);
}
