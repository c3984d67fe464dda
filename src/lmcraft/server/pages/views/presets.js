// The presets of the settings panel: named pairs of a system prompt and settings, kept in this browser.

import { readPresets, removePreset, savePreset } from "../chat/last_used.js";
import { t } from "../strings.js";
import { askPresetName } from "./dialogs.js";
import { el } from "./dom.js";
import { buildIconButton } from "./icons.js";

/** The row of controls. `getCurrent()` returns the {system, settings} to save, and `apply(preset)` uses one. */
export function buildPresetRow(getCurrent, apply) {
  const select = el("select", { id: "f-preset" });
  const remove = buildIconButton("trash", t("removePreset"), () => (removePreset(select.value), draw("")));
  const draw = (selected) => {
    const names = [...readPresets().keys()];
    const options = names.map((name) => el("option", { value: name }, name));
    select.replaceChildren(el("option", { value: "" }, t(names.length ? "choosePreset" : "noPresets")), ...options);
    select.value = selected;
    remove.disabled = !select.value;
  };
  const save = async () => {
    const name = (await askPresetName(select.value))?.trim();
    if (!name) return;
    savePreset(name, getCurrent());
    draw(name);
  };
  select.addEventListener("change", () => {
    remove.disabled = !select.value;
    if (select.value) apply(readPresets().get(select.value));
  });
  draw("");
  const buttons = [buildIconButton("plus", t("savePreset"), save), remove];
  return el("div", { class: "field long" }, el("label", { for: "f-preset" }, t("presets")), el("div", { class: "row" }, select, ...buttons));
}
