// The settings panel: the system prompt and a field for each generation setting that /api/info describes.

import { getDefaultLimit } from "../chat/models.js";
import { formatNumber, localize, t } from "../strings.js";
import { byId, el } from "./dom.js";
import { buildPresetRow } from "./presets.js";

export class Panel {
  /**
   * settings: the descriptions of /api/info, {name, kind, label, help, minimum, maximum, slider, max_items, advanced}.
   * change(fields) saves {settings} or {system} of the conversation.
   */
  constructor(settings, change) {
    this.settings = settings;
    this.change = change;
  }

  /** Builds all fields, in the language of the page, once there is a conversation whose settings they are. */
  draw() {
    if (!this.conversation) return;
    this.system = el("textarea", { id: "f-system", rows: "4", maxlength: "1000000", dir: "auto", "aria-describedby": "f-system-more" });
    this.system.addEventListener("change", () => this.change({ system: this.system.value }));
    const controls = this.settings.map((setting) => [setting, this.#buildControl(setting)]);
    this.controls = controls.map(([, control]) => control);
    const selectFields = (advanced) => controls.filter(([setting]) => setting.advanced === advanced).map(([, control]) => control.field);
    const more = selectFields(true);
    this.chatDefaults = el("p", { class: "note" });
    byId("fields").replaceChildren(
      buildPresetRow(
        () => this.conversation,
        (preset) => this.#apply(preset),
      ),
      buildField("f-system", t("system"), t("systemMore"), this.system),
      this.chatDefaults,
      ...selectFields(false),
      ...(more.length ? [el("details", { open: byId("fields").querySelector("details")?.open }, el("summary", {}, t("moreSettings")), ...more)] : []),
      el("button", { type: "button", class: "quiet", onclick: () => this.#save({}) }, t("reset")),
    );
    this.show(this.conversation, this.model);
  }

  show(conversation, model) {
    Object.assign(this, { conversation, model });
    if (!this.controls) return this.draw();
    setUnlessFocused(this.system, conversation.system);
    for (const control of this.controls) control.show(conversation.settings[control.name], getPreset(model, control.name));
    const names = Object.entries(model?.chat_defaults ?? {}).map(([name, value]) => `${this.#getLabel(name)} ${formatNumber(value, countDecimals(value))}`);
    this.chatDefaults.hidden = !names.length;
    this.chatDefaults.textContent = t("chatDefaults", { values: names.join(t("listSeparator")) });
  }

  #buildControl(setting) {
    const build = setting.kind === "texts" ? buildTextsControl : buildNumberControl;
    return { name: setting.name, ...build(setting, (value) => this.#set(setting.name, value)) };
  }

  #getLabel(name) {
    return localize(this.settings.find((setting) => setting.name === name).label);
  }

  #apply({ system = "", settings = {} }) {
    document.activeElement?.blur(); // a field with the focus would keep its value
    this.change({ system, settings });
    this.show(this.conversation, this.model);
  }

  #set(name, value) {
    const settings = { ...this.conversation.settings, [name]: value };
    if (value === undefined) delete settings[name];
    this.#save(settings);
  }

  #save(settings) {
    this.change({ settings });
    this.show(this.conversation, this.model);
  }
}

/** What applies where the conversation sets nothing. */
const getPreset = (model, name) => (name === "max_tokens" ? getDefaultLimit(model) : undefined) ?? model?.defaults[name];

/** A control is {field, show(value, preset)}; preset is the model's default, shown where there is no value. */
function buildNumberControl({ name, kind, label, help, minimum, maximum, slider }, set) {
  const id = `f-${name}`;
  const step = kind === "integer" ? 1 : "any";
  const input = el("input", { type: "number", id, min: minimum, max: maximum, step, "aria-describedby": `${id}-more`, inputmode: "decimal" });
  input.addEventListener("change", () => {
    if (!input.checkValidity()) return; // its border shows that the number is invalid
    set(input.value === "" ? undefined : Number(input.value));
  });
  // The slider repeats the number for mice and touch screens; keyboards and screen readers use the number.
  const range = slider && el("input", { type: "range", min: slider[0], max: slider[1], step: slider[2], tabindex: "-1", "aria-hidden": "true" });
  range?.addEventListener("input", () => (input.value = range.value));
  range?.addEventListener("change", () => set(Number(range.value)));
  return {
    field: buildField(id, localize(label), localize(help), input, range),
    show(value, preset) {
      input.placeholder = typeof preset === "number" ? formatNumber(preset, countDecimals(preset)) : name === "seed" ? t("random") : "";
      setUnlessFocused(input, value ?? "");
      if (range) range.value = value ?? preset ?? 1;
    },
  };
}

function buildTextsControl({ name, label, help, max_items: maxItems }, set) {
  const id = `f-${name}`;
  const input = el("textarea", { id, rows: "2", spellcheck: "false", "aria-describedby": `${id}-more` });
  input.addEventListener("change", () => set(parseTexts(input.value, maxItems)));
  return {
    field: buildField(id, localize(label), localize(help), input),
    show(value, preset) {
      input.placeholder = formatTexts(preset);
      setUnlessFocused(input, formatTexts(value));
    },
  };
}

function buildField(id, label, help, input, range) {
  const head = el("label", { for: id }, label);
  const long = input.tagName === "TEXTAREA";
  return el("div", { class: long ? "field long" : "field" }, head, input, range, el("small", { id: `${id}-more` }, help));
}

/** One text per line, with "\n" for a line break. */
function parseTexts(lines, maxItems) {
  const texts = lines.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n"));
  return texts.length ? texts.slice(0, maxItems) : undefined;
}

const formatTexts = (texts) => [texts ?? []].flat().map((text) => text.replaceAll("\n", "\\n")).join("\n");

function setUnlessFocused(input, value) {
  if (document.activeElement !== input) input.value = value;
}

const countDecimals = (value) => (Number.isInteger(value) ? 0 : String(value).split(".")[1]?.length ?? 2);
