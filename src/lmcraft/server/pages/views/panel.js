// The settings: what the model is told first, and how its tokens are drawn.

import { byId, el } from "./dom.js";
import { formatNumber, t } from "../strings.js";

// name: [least, most, step]; with a slider where a range is worth seeing.
const SLIDERS = {
  temperature: [0, 2, 0.05],
  top_p: [0.01, 1, 0.01],
  min_p: [0, 1, 0.01],
  repetition_penalty: [0.5, 2, 0.01],
  presence_penalty: [-2, 2, 0.1],
  frequency_penalty: [-2, 2, 0.1],
};
const NUMBERS = { top_k: [0, 1_000_000, 1], max_tokens: [1, 1_000_000, 1], seed: [0, 2 ** 31 - 1, 1] };
const ORDER = ["temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty", "max_tokens", "seed"];
const MOST_STOPS = 16;

export class Panel {
  /** change(fields) keeps {settings} or {system} of the conversation. */
  constructor(change) {
    this.change = change;
    this.draw();
  }

  /** Builds all fields, in the language of the page. */
  draw() {
    this.inputs = {};
    this.system = el("textarea", { id: "f-system", rows: "4", maxlength: "1000000", dir: "auto", "aria-describedby": "f-system-more" });
    this.system.addEventListener("change", () => this.change({ system: this.system.value }));
    this.stops = el("textarea", { id: "f-stop", rows: "2", spellcheck: "false", "aria-describedby": "f-stop-more" });
    this.stops.addEventListener("change", () => this.#set("stop", stopsOf(this.stops.value)));
    byId("fields").replaceChildren(
      field("f-system", t("system"), t("systemMore"), this.system),
      ...ORDER.map((name) => this.#number(name)),
      field("f-stop", t("stopTexts"), t("stopTextsMore"), this.stops),
      el("button", { type: "button", class: "quiet", onclick: () => this.#reset() }, t("reset")),
    );
    if (this.chat) this.show(this.chat, this.model);
  }

  show(chat, model) {
    Object.assign(this, { chat, model });
    setUnlessFocused(this.system, chat.system);
    setUnlessFocused(this.stops, [chat.settings.stop ?? []].flat().map((text) => text.replaceAll("\n", "\\n")).join("\n"));
    for (const [name, { input, slider }] of Object.entries(this.inputs)) {
      const preset = model?.defaults[name];
      input.placeholder = preset !== undefined ? formatNumber(preset, digitsOf(preset)) : name === "seed" ? t("random") : "";
      setUnlessFocused(input, chat.settings[name] ?? "");
      if (slider) slider.value = chat.settings[name] ?? preset ?? 1;
    }
  }

  #number(name) {
    const [min, max, step] = SLIDERS[name] ?? NUMBERS[name];
    const id = `f-${name}`;
    const input = el("input", { type: "number", id, min, max, step: SLIDERS[name] ? "any" : step, "aria-describedby": `${id}-more`, inputmode: "decimal" });
    // The slider says nothing that the number does not: it is for pointers alone.
    const slider = SLIDERS[name] && el("input", { type: "range", min, max, step, tabindex: "-1", "aria-hidden": "true" });
    input.addEventListener("change", () => {
      if (!input.checkValidity()) return; // its border says so
      this.#set(name, input.value === "" ? undefined : Number(input.value));
    });
    slider?.addEventListener("input", () => (input.value = slider.value));
    slider?.addEventListener("change", () => this.#set(name, Number(slider.value)));
    this.inputs[name] = { input, slider };
    return field(id, t(name), t(`${name}More`), input, slider);
  }

  #set(name, value) {
    const settings = { ...this.chat.settings, [name]: value };
    if (value === undefined) delete settings[name];
    this.#keep(settings);
  }

  #reset() {
    this.#keep({});
  }

  #keep(settings) {
    this.change({ settings });
    this.show(this.chat, this.model);
  }
}

function field(id, label, more, input, slider) {
  const head = el("label", { for: id }, label);
  const long = input.tagName === "TEXTAREA";
  return el("div", { class: long ? "field long" : "field" }, head, input, slider, el("small", { id: `${id}-more` }, more));
}

/** A line each; "\n" written out is a new line. */
function stopsOf(text) {
  const stops = text.split("\n").filter(Boolean).map((line) => line.replaceAll("\\n", "\n"));
  return stops.length ? stops.slice(0, MOST_STOPS) : undefined;
}

function setUnlessFocused(input, value) {
  if (document.activeElement !== input) input.value = value;
}

const digitsOf = (value) => (Number.isInteger(value) ? 0 : String(value).split(".")[1]?.length ?? 2);
