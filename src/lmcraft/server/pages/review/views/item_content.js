// The texts of an item that is shown for another reason than to be judged. Sensitive ones are hidden until asked for.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIcon } from "../../views/icons.js";
import { buildTexts } from "./item_texts.js";

export class ItemContent {
  /** item: {kind, subject, messages, answers, sensitive}. */
  constructor(item) {
    Object.assign(this, { item, isShown: !item.sensitive });
    this.node = el("div", { class: "item-content", tabindex: "-1" });
    this.translate();
  }

  toggle() {
    if (!this.item.sensitive) return;
    this.isShown = !this.isShown;
    const hadFocus = this.node.contains(document.activeElement);
    this.translate();
    if (hadFocus) this.node.focus({ preventScroll: true });
  }

  translate() {
    const { item, isShown } = this;
    const button = item.sensitive && el("button", { type: "button", class: "quiet", onclick: () => this.toggle() }, buildIcon(isShown ? "eyeOff" : "eye"), t(isShown ? "hideText" : "showText"));
    if (isShown) this.node.replaceChildren(...(button ? [el("div", { class: "row veil-row" }, button)] : []), buildTexts(item));
    else this.node.replaceChildren(el("div", { class: "hidden-texts" }, el("p", { class: "note" }, t("sensitiveText")), button));
  }
}
