// The help with the keys of a view.

import { t } from "../strings.js";
import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";

const COMMON_KEYS = [["help", ["?"]]];

/** keys: [[key of a string, ["1", "2"]], ...]. */
export function showKeys(keys) {
  const rows = [...keys, ...COMMON_KEYS].flatMap(([name, symbols]) => [
    el("dt", {}, ...symbols.map((symbol) => el("kbd", {}, symbol))),
    el("dd", {}, t(name)),
  ]);
  openDialog(t("shortcuts"), [el("dl", { class: "keys" }, ...rows)]);
}
