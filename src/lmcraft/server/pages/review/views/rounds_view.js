// Calibration rounds: the list, a form that opens one, and below its address the page of each.

import { buildAddress } from "../../net/address.js";
import { formatNumber, t } from "../../strings.js";
import { openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";
import { buildSelect, buildTitle } from "../../views/facts.js";
import { buildTime } from "../../views/times.js";
import { fetchRounds, openRound } from "../net/management.js";
import { titleOf } from "./marks.js";
import { RoundView } from "./round_view.js";

const DEFAULT_COUNT = 20;
const MAX_COUNT = 1000;

export class RoundsView {
  constructor(app) {
    this.app = app;
  }

  async mount(container, [id]) {
    this.container = container;
    this.guidelines = new Map((await this.app.guidelines.list()).map((guideline) => [guideline.name, guideline]));
    if (id !== undefined) {
      this.round = new RoundView(this.app, this.guidelines);
      return this.round.mount(container, id);
    }
    this.rounds = await fetchRounds();
    return this.translate();
  }

  translate() {
    if (this.round) return this.round.translate();
    const open = this.app.can("owner") && this.guidelines.size > 0 && el("button", { type: "button", class: "main", onclick: () => this.#askRound() }, t("newRound"));
    const list = this.rounds.length ? el("ol", { class: "round-list" }, ...this.rounds.map((round) => this.#buildRound(round))) : el("p", { class: "note" }, t("noRounds"));
    this.container.replaceChildren(el("div", { class: "row between" }, buildTitle(t("tabRounds"), t("roundsNote")), open), list);
    return null;
  }

  unmount() {
    this.round?.unmount();
  }

  #buildRound({ id, name, guideline, state, created, items, voters, votes, mine }) {
    const isOpen = state === "open";
    const progress = isOpen ? t("roundMine", { n: formatNumber(mine), count: formatNumber(items) }) : t("roundVotes", { votes: formatNumber(votes), voters: formatNumber(voters) });
    return el(
      "li",
      {},
      el("a", { href: buildAddress("rounds", id), dir: "auto" }, name),
      el("span", { class: "badge", "data-state": isOpen ? "claimed" : "adjudicated" }, t(isOpen ? "roundIsOpen" : "roundIsRevealed")),
      el("span", { class: "note" }, titleOf(this.guidelines.get(guideline), guideline), " · ", t("itemsOfRound", { n: formatNumber(items) }), " · ", progress, " · ", buildTime(created)),
      isOpen && el("meter", { min: "0", max: items, value: mine, "aria-hidden": "true" }),
    );
  }

  #askRound() {
    const name = el("input", { type: "text", required: true, maxlength: "200", autocomplete: "off", dir: "auto", autofocus: true });
    const count = el("input", { type: "number", required: true, min: "1", max: MAX_COUNT, step: "1", value: DEFAULT_COUNT });
    let guideline = this.guidelines.keys().next().value;
    const options = [...this.guidelines.values()].map((value) => [value.name, titleOf(value)]);
    const problem = el("p", { class: "form-problem", role: "alert", dir: "auto", hidden: true });
    const submit = async (event) => {
      event.preventDefault();
      try {
        const round = await openRound(name.value.trim(), guideline, count.valueAsNumber);
        dialog.close();
        location.hash = buildAddress("rounds", round.id);
      } catch (error) {
        problem.textContent = error.message;
        problem.hidden = false;
      }
    };
    const form = el(
      "form",
      { class: "fields", onsubmit: submit },
      el("p", { class: "note" }, t("newRoundNote")),
      el("label", {}, el("span", {}, t("roundName")), name),
      buildSelect(t("guideline"), options, guideline, (value) => (guideline = value)),
      el("label", {}, el("span", {}, t("roundCount")), count),
      problem,
      el("div", { class: "row buttons" }, el("button", { class: "main" }, t("newRound"))),
    );
    const dialog = openDialog(t("newRound"), [form], { small: true });
  }
}
