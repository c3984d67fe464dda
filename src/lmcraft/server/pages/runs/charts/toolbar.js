// The controls above the charts: x axis, logarithmic scales, smoothing, zoom.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { loadOptions, saveOptions } from "../state/chart_options.js";
import { AXES } from "../state/metrics.js";

export class ChartToolbar {
  /** changed(options), resetZoom() */
  constructor({ changed, resetZoom }) {
    Object.assign(this, { changed, resetZoom, options: loadOptions(), isZoomed: false });
    this.node = el("div", { class: "chart-bar" });
    this.translate();
  }

  translate() {
    const { axis, isLogX, isLogY, smoothing } = this.options;
    const choices = Object.entries(AXES).map(([name, { label }]) => el("option", { value: name }, t(label)));
    const select = el("select", { onchange: () => this.#set({ axis: select.value }), name: "axis" }, ...choices);
    select.value = axis;
    const range = el("input", { type: "range", name: "smoothing", min: "0", max: "1", step: "0.05", value: String(smoothing), oninput: () => this.#set({ smoothing: Number(range.value) }) });
    const build = (name, label, isOn) => {
      const box = el("input", { type: "checkbox", name, checked: isOn, onchange: () => this.#set({ [name]: box.checked }) });
      return el("label", { class: "check" }, box, t(label));
    };
    this.reset = el("button", { type: "button", class: "quiet", disabled: !this.isZoomed, onclick: () => this.resetZoom() }, t("resetZoom"));
    this.node.replaceChildren(
      el("label", { class: "inline" }, el("span", {}, t("xAxis")), select),
      build("isLogY", "logY", isLogY),
      build("isLogX", "logX", isLogX),
      el("label", { class: "inline smoothing" }, el("span", {}, t("smoothing")), range),
      this.reset,
    );
  }

  showZoom(isZoomed) {
    this.isZoomed = isZoomed;
    this.reset.disabled = !isZoomed;
  }

  /** Turns an option that is a checkbox on or off. */
  toggle(name) {
    const box = this.node.querySelector(`[name=${name}]`);
    box.checked = !box.checked;
    this.#set({ [name]: box.checked });
  }

  #set(fields) {
    this.options = { ...this.options, ...fields };
    saveOptions(this.options);
    this.changed(this.options);
  }
}
