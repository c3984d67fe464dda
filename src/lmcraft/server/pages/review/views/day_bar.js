// The line above the item: which guideline, what the user has done today, how much sensitive material they have seen.

import { formatNumber, localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { setIcon } from "../../views/icons.js";

export class DayBar {
  /** handlers: {selectGuideline(name), pause()}. */
  constructor(handlers) {
    this.handlers = handlers;
    this.numbers = el("div", { class: "numbers" });
    this.select = el("select", { onchange: () => handlers.selectGuideline(this.select.value) });
    this.pauseButton = el("button", { type: "button", class: "pill", "aria-keyshortcuts": "p", onclick: handlers.pause });
    this.node = el("div", { class: "day" }, this.select, this.numbers, this.pauseButton);
  }

  /** guidelines: of the server; selected: the one that items are taken from, or "" for all. */
  showGuidelines(guidelines, selected) {
    const options = guidelines.map(({ name, title }) => el("option", { value: name }, localize(title) || name));
    this.select.replaceChildren(el("option", { value: "" }, t("allGuidelines")), ...options);
    this.select.value = selected;
    this.select.setAttribute("aria-label", t("guideline"));
    this.select.hidden = guidelines.length < 2;
    this.pauseButton.replaceChildren(el("span", {}, t("pause")), el("kbd", { "aria-hidden": "true" }, "P"));
    setIcon(this.pauseButton, "pause");
  }

  /** numLeft: items in the queue, or null. */
  show({ judged_today: judged, exposure: { shown, cap } }, numLeft) {
    const parts = [el("span", { class: "judged-count" }, t("judgedCount", { n: formatNumber(judged) }))];
    if (numLeft) parts.push(el("span", { class: "left" }, t("leftCount", { n: formatNumber(numLeft) })));
    if (shown && cap) {
      const text = t("exposure", { shown: formatNumber(shown), cap: formatNumber(cap) });
      parts.push(el("span", { class: "exposure" }, el("meter", { min: "0", max: String(cap), value: shown, "aria-label": text }), text));
    }
    this.numbers.replaceChildren(...parts);
  }
}
