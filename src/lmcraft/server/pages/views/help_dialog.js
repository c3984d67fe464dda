// The help dialog.

import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { t } from "../strings.js";

const APPLE = /Mac|iPhone|iPad/.test(navigator.platform);
const CTRL = APPLE ? "⌘" : "Ctrl";

// What each shortcut does; keyboard.js acts on them.
const KEYS = [
  ["keySend", ["Enter"]],
  ["keyNewline", ["Shift", "Enter"]],
  ["keyStop", ["Esc"]],
  ["keyEditLast", ["↑"]],
  ["keyFocus", ["Shift", "Esc"]],
  ["keySearch", [CTRL, "K"]],
  ["keyNew", [CTRL, "Shift", "O"]],
  ["keySettings", [CTRL, "."]],
  ["keyHelp", [CTRL, "/"]],
];

export function showHelp(version) {
  const keys = KEYS.flatMap(([name, parts]) => [
    el("dt", {}, ...parts.map((part) => el("kbd", {}, part))),
    el("dd", {}, t(name)),
  ]);
  openDialog(t("help"), [
    el("p", {}, t("welcomeMore")),
    el("p", {}, t("tokensHelp")),
    el("h3", {}, t("helpKeys")),
    el("dl", { class: "keys" }, ...keys),
    el("p", { class: "note" }, t("version_", { version })),
  ]);
}
