// What each layer of the model says about a token: a table, loaded when the user asks for it.

import { formatNumber, t } from "../strings.js";
import { el } from "./dom.js";
import { formatProbability, formatToken, spellToken } from "./token_text.js";

const MAX_ROWS = 8; // until all layers are asked for
const KIND_NAMES = { logit: "logitLens", jacobian: "jacobianLens" };

export class LensView {
  /** token: the one that was written; `read(signal)` fetches its lenses; `onResize()` is called when the table grows or shrinks. */
  constructor(token, read, onResize) {
    Object.assign(this, { token, read, onResize, isComplete: false, kind: null });
    this.button = el("button", { type: "button", class: "quiet", onclick: () => this.#load() }, t("openLens"));
    this.status = el("p", { class: "note", role: "status" });
    this.content = el("div");
    this.node = el("section", { class: "lens", "aria-label": t("lens") }, this.button, this.status, this.content);
  }

  /** Ends a request that is under way. */
  close() {
    this.abortController?.abort();
  }

  async #load() {
    this.close();
    const { signal } = (this.abortController = new AbortController());
    this.button.setAttribute("aria-disabled", "true");
    this.status.textContent = t("readingLayers");
    try {
      const { lenses, hiddenCount, rounding } = await this.read(signal);
      Object.assign(this, { lenses, hiddenCount, rounding });
      this.kind = lenses.at(-1).kind; // the Jacobian lens, if there is one
      this.#draw();
      const hasFocus = document.activeElement === this.button;
      this.button.remove();
      if (hasFocus) this.content.querySelector("button, table").focus();
      this.status.textContent = t("layersRead", { n: lenses[0].layers.length });
      this.status.className = "visually-hidden";
    } catch (error) {
      if (error.name === "AbortError") return;
      this.status.textContent = error.message;
      this.button.removeAttribute("aria-disabled");
    }
    this.onResize();
  }

  #draw() {
    const { layers } = this.lenses.find(({ kind }) => kind === this.kind);
    const step = this.isComplete ? 1 : Math.ceil(layers.length / MAX_ROWS);
    const shown = layers.filter(({ layer }) => (layers.length - 1 - layer) % step === 0);
    const parts = [
      this.lenses.length > 1 && this.#buildKinds(),
      this.#buildTable(shown),
      this.hiddenCount > 0 && el("p", { class: "note" }, t("hiddenByPolicy")),
      this.rounding && el("p", { class: "note" }, t("otherWeights", { rounding: this.rounding })),
      layers.length > MAX_ROWS && this.#buildToggle(layers.length),
    ];
    this.content.replaceChildren(...parts.filter(Boolean));
  }

  #buildKinds() {
    const build = ({ kind }) => this.#buildButton({ "aria-pressed": String(kind === this.kind), "data-kind": kind }, t(KIND_NAMES[kind]), { kind });
    return el("div", { class: "kinds", role: "group", "aria-label": t("lens") }, ...this.lenses.map(build));
  }

  #buildToggle(count) {
    const label = this.isComplete ? t("fewerLayers") : t("allLayers", { n: count });
    return this.#buildButton({ "aria-expanded": String(this.isComplete), "data-kind": "all" }, label, { isComplete: !this.isComplete });
  }

  /** A button that changes what the table shows, and keeps the focus. */
  #buildButton(attributes, label, change) {
    const onclick = () => {
      Object.assign(this, change);
      this.#draw();
      this.content.querySelector(`[data-kind="${attributes["data-kind"]}"]`).focus();
      this.onResize();
    };
    return el("button", { type: "button", class: "quiet", onclick, ...attributes }, label);
  }

  #buildTable(layers) {
    const rank = t("rankOf", { token: formatToken(spellToken(this.token)) });
    return el(
      "table",
      { tabindex: "-1" },
      el("caption", {}, t("lensCaption")),
      el("thead", {}, el("tr", {}, ...[t("layer"), t("likelyTokens"), rank].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...layers.map((layer) => this.#buildRow(layer))),
    );
  }

  #buildRow({ layer, tokens, rank }) {
    const buildToken = (token, i) => {
      const isChosen = token.id === this.token.id;
      const probability = formatProbability(token.logprob);
      const label = formatToken(spellToken(token));
      return el("span", { class: `reading${isChosen ? " chosen" : ""}`, title: `${label} ${probability}` }, el("code", {}, label), i === 0 && ` ${probability}`);
    };
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, formatNumber(layer)),
      el("td", {}, ...(tokens.length ? tokens.map(buildToken) : ["–"])),
      el("td", {}, formatNumber(rank)),
    );
  }
}
