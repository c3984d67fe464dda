// The help dialog.

import { t } from "../strings.js";
import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";

const IS_APPLE = /Mac|iPhone|iPad/.test(navigator.platform);
const CTRL = IS_APPLE ? "⌘" : "Ctrl";

// The shortcuts, handled by keyboard.js and composer.js.
const SHORTCUTS = [
  ["send", ["Enter"]],
  ["newLine", ["Shift", "Enter"]],
  ["stopOrClose", ["Esc"]],
  ["editLast", ["↑"]],
  ["skipToInput", ["Shift", "Esc"]],
  ["search", [CTRL, "K"]],
  ["newChat", [CTRL, "Shift", "O"]],
  ["settings", [CTRL, "."]],
  ["help", [CTRL, "/"]],
];

export function showHelp(version) {
  const shortcuts = SHORTCUTS.flatMap(([name, keys]) => [
    el("dt", {}, ...keys.map((key) => el("kbd", {}, key))),
    el("dd", {}, t(name)),
  ]);
  openDialog(t("help"), [
    el("p", {}, t("introduction")),
    el("p", {}, t("tokensHelp")),
    el("h3", {}, t("shortcuts")),
    el("dl", { class: "keys" }, ...shortcuts),
    el("p", { class: "note" }, `lmcraft ${version}`),
  ]);
}
