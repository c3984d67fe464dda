// A block of code with a copy button.

import { t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { el, escapeControls } from "./dom.js";
import { buildIconButton } from "./icons.js";

export function buildCodeBlock(language, text) {
  const button = buildIconButton("copy", t("copyCode"), () => copyText(text, button));
  const label = language || t("code");
  return el(
    "figure",
    { class: "code" },
    el("figcaption", {}, el("span", {}, escapeControls(label)), button),
    el("pre", { tabindex: "0", dir: "ltr", "aria-label": label }, el("code", {}, escapeControls(text))),
  );
}
