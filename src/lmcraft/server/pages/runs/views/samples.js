// What a run wrote while it was trained, newest first.

import { t } from "../../strings.js";
import { el, escapeControls } from "../../views/dom.js";
import { formatFigure } from "../format.js";
import { fetchSamples } from "../net/runs.js";

const MAX_CHARACTERS = 500; // of a text that is shown without a box to scroll in
const MAX_LINES = 8;

export class Samples {
  /** failed(error) */
  constructor(id, failed) {
    Object.assign(this, { id, failed, samples: [], before: null, isLoading: false });
    this.node = el("section", { class: "samples", hidden: true });
  }

  /** Reads those that are new. */
  async refresh() {
    if (this.isLoading) return;
    this.isLoading = true;
    try {
      const page = await fetchSamples(this.id);
      const isLonger = this.samples.length > page.samples.length && page.samples.length > 0;
      const rest = isLonger ? this.samples.filter(({ step }) => step < page.samples.at(-1).step) : [];
      if (!rest.length) this.before = page.before;
      const samples = [...page.samples, ...rest];
      if (JSON.stringify(samples) === JSON.stringify(this.samples)) return;
      this.samples = samples;
      this.draw();
    } catch (error) {
      this.failed(error);
    } finally {
      this.isLoading = false;
    }
  }

  draw() {
    this.node.hidden = !this.samples.length;
    const items = this.samples.map(buildSample);
    const more = this.before !== null && el("button", { type: "button", class: "quiet", onclick: () => this.#loadMore() }, t("olderSamples"));
    this.node.replaceChildren(el("h2", {}, t("samples")), el("ol", {}, ...items), ...(more ? [more] : []));
  }

  async #loadMore() {
    try {
      const page = await fetchSamples(this.id, this.before);
      const index = this.samples.length;
      this.samples.push(...page.samples);
      this.before = page.before;
      this.draw();
      const next = this.node.querySelectorAll("li")[index];
      if (next) {
        next.tabIndex = -1;
        next.focus();
      }
    } catch (error) {
      this.failed(error);
    }
  }
}

function buildSample({ step, text }) {
  const isLong = text.length > MAX_CHARACTERS || text.split("\n", MAX_LINES + 1).length > MAX_LINES;
  const body = el("p", { class: isLong ? "plain long" : "plain", dir: "auto", tabindex: isLong ? "0" : null }, escapeControls(text));
  return el("li", {}, el("h3", {}, t("atStep", { value: formatFigure(step, 7) })), body);
}
