// The view in which an adjudicator decides: below the item are the verdicts of its reviewers, beside it the form of the final one.

import { localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { MarkdownView } from "../../views/markdown.js";
import { splitRules } from "../state/rule_texts.js";
import { JudgeView } from "./judge_view.js";
import { buildRecord, nameRule } from "./marks.js";
import { buildRemarks, buildVerdicts } from "./verdict_cards.js";

export class AdjudicateView extends JudgeView {
  task = "adjudicate";
  action = "adjudication";
  title = "tabAdjudicate";
  keys = [["keysAdopt", ["Shift", "A"]], ...this.keys.filter(([name]) => name !== "escalate")];

  /** What the reviewers decided, why the item was passed on, what users said, the rules that were cited, and the policy's decision. */
  buildEvidence(item) {
    const { guideline } = this.draft;
    const buildAdopt = (verdict) => {
      const keys = `Shift+${verdict.reviewer}`;
      return [el("button", { type: "button", class: "quiet", "aria-keyshortcuts": keys, onclick: () => this.#adopt(verdict) }, t("adoptVerdict", { letter: verdict.reviewer }), el("kbd", { "aria-hidden": "true" }, `⇧${verdict.reviewer}`))];
    };
    return el(
      "div",
      { class: "evidence" },
      item.verdicts.length > 0 && el("h3", {}, t("verdicts")),
      item.verdicts.length > 0 && buildVerdicts(item.verdicts, guideline, { isBlind: true, buildActions: buildAdopt }),
      ...buildRemarks(item),
      ...this.#buildCitedRules(item.verdicts),
      buildRecord(t("decisionRecord"), item.decision),
    );
  }

  handleKey(event) {
    const verdict = event.shiftKey && this.item?.verdicts.find(({ reviewer }) => reviewer === event.key.toUpperCase());
    if (!verdict || this.isBusy) return super.handleKey(event);
    event.preventDefault();
    return this.#adopt(verdict);
  }

  /** Takes over what a reviewer chose and wrote; it can be changed before it is sent. */
  #adopt({ label, rule, correction, contains = [], excludes = [] }) {
    const { draft } = this;
    draft.choose("label", label);
    if (draft.guideline.rules.some(({ id }) => id === rule)) draft.choose("rule", rule);
    const texts = { correction, contains: contains.join("\n"), excludes: excludes.join("\n") };
    draft.set(Object.fromEntries(Object.entries(texts).filter(([, text]) => text)));
    this.form.show(draft);
    this.app.announce(this.form.state.textContent);
    this.form.submitButton.focus({ preventScroll: true });
  }

  #buildCitedRules(verdicts) {
    const { guideline } = this.draft;
    const { rules } = splitRules(localize(guideline.text), guideline.rules.map(({ id }) => id));
    const ids = [...new Set(verdicts.map(({ rule }) => rule))].filter((id) => rules.has(id));
    if (!ids.length) return [];
    const build = (id) => {
      const body = el("div", { class: "markdown" });
      new MarkdownView(body).show(rules.get(id));
      return el("details", { open: true }, el("summary", { dir: "auto" }, nameRule(guideline, id)), body);
    };
    return [el("h3", {}, t("citedRules")), ...ids.map(build)];
  }
}
