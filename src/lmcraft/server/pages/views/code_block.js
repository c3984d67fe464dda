// A block of code, with a button that copies it.

import { copy, el, iconButton, visible } from "./dom.js";
import { t } from "../strings.js";

export function codeBlock(language, text) {
  const button = iconButton("copy", t("copyCode"), () => copy(text, button));
  const label = language || t("code");
  return el(
    "figure",
    { class: "code" },
    el("figcaption", {}, el("span", {}, visible(label)), button),
    el("pre", { tabindex: "0", dir: "ltr", "aria-label": label }, el("code", {}, visible(text))),
  );
}
