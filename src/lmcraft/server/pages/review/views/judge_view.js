// The view in which an item is judged.

import { t } from "../../strings.js";
import { el } from "../../views/dom.js";

export class JudgeView {
  keys = [];

  mount(container) {
    this.container = container;
    this.translate();
  }

  translate() {
    this.container.replaceChildren(el("h1", {}, t("tabJudge")));
  }

  unmount() {}
}
