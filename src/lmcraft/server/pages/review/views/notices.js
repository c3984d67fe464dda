// Notes above the item, one of each kind.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIconButton } from "../../views/icons.js";

export class Notices {
  constructor() {
    this.node = el("div", { class: "notices", role: "status" });
    this.shown = new Map(); // kind -> node
  }

  /** kind: "problem", "away", "draft" or "break"; actions: [{label, run}]. */
  show(kind, text, actions = [], { isClosable = kind === "draft" } = {}) {
    const buttons = actions.map(({ label, run }) => el("button", { type: "button", class: "quiet", onclick: run }, label));
    if (isClosable) buttons.push(buildIconButton("close", t("close"), () => this.remove(kind)));
    const node = el("div", { class: `review-notice ${kind}` }, el("span", { dir: "auto" }, text), ...buttons);
    this.remove(kind);
    this.shown.set(kind, node);
    this.node.append(node);
  }

  remove(kind) {
    this.shown.get(kind)?.remove();
    this.shown.delete(kind);
  }

  clear() {
    this.shown.clear();
    this.node.replaceChildren();
  }
}
