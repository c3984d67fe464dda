// Everything about an item: its texts, verdicts, decision and history. The owner can take it from whoever holds it.

import { buildAddress } from "../../net/address.js";
import { formatDateTime, formatNumber, t } from "../../strings.js";
import { openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";
import { buildFacts } from "../../views/facts.js";
import { buildTime, toSeconds } from "../../views/times.js";
import { fetchItem, releaseItem, requeueItem } from "../net/management.js";
import { buildHistory } from "./history_list.js";
import { ItemContent } from "./item_content.js";
import { buildLabel, buildRecord, buildState, nameRule, SOURCES, titleOf } from "./marks.js";
import { buildRemarks, buildVerdicts } from "./verdict_cards.js";

export class ItemView {
  /** guidelines: Map of name -> guideline. */
  constructor(app, guidelines) {
    Object.assign(this, { app, guidelines });
  }

  keys = [["showText", ["B"]], ["backToList", ["Esc"]]];

  async mount(container, id) {
    this.container = container;
    await this.#load(id);
  }

  async #load(id) {
    this.item = await fetchItem(id);
    const { kind, content, subject, messages, answers, sensitive } = this.item;
    const wasShown = this.content?.isShown;
    this.content = new ItemContent({ kind, subject, sensitive, ...(content ?? { messages, answers }) });
    if (wasShown && !this.content.isShown) this.content.toggle();
    this.translate();
  }

  translate() {
    const { item } = this;
    const guideline = this.guidelines.get(item.guideline);
    this.content.translate();
    const texts = item.state === "erased" ? el("p", { class: "note" }, t("erasedText")) : this.content.node;
    this.container.replaceChildren(
      el("a", { class: "back", href: buildAddress("items") }, t("backToList")),
      el("header", { class: "title" }, el("h1", {}, t("itemOf", { guideline: titleOf(guideline, item.guideline) })), buildState(item.claim ? "claimed" : item.state)),
      el("div", { class: "split" }, el("section", { class: "texts-column", "aria-label": t("texts") }, texts), el("section", { class: "facts-column" }, ...this.#buildFacts(guideline))),
      ...this.#buildVerdicts(guideline),
      ...buildRemarks(item),
      ...(item.history?.length ? [el("h2", {}, t("history")), buildHistory(item.history)] : []),
    );
  }

  unmount() {}

  handleKey(event) {
    if (event.key === "Escape") location.hash = buildAddress("items");
    if (event.key.toLowerCase() === "b") this.content.toggle();
  }

  #buildFacts(guideline) {
    const { item } = this;
    const final = item.label && el("span", {}, buildLabel(guideline, item.label), item.rule ? ` ${nameRule(guideline, item.rule)}` : "");
    const { claim } = item;
    const facts = [
      [t("finalVerdict"), final],
      [t("heldByName"), claim && t("heldUntil", { name: claim.holder, time: formatDateTime(toSeconds(claim.expires)) })],
      [t("source"), t(SOURCES[item.source] ?? "unknownSource")],
      [t("priority"), item.priority === null || item.priority === undefined ? null : formatNumber(item.priority, 2)],
      [t("traffic"), item.traffic && formatNumber(item.traffic)],
      [t("round"), item.round && el("a", { href: buildAddress("rounds", item.round) }, t("openRound"))],
      [t("goldItem"), item.is_gold ? t("yes") : null],
      [t("added"), item.created && buildTime(item.created)],
      [t("id"), el("code", {}, item.id)],
    ];
    return [buildFacts(facts), buildRecord(t("decisionRecord"), item.decision), buildRecord(t("origin"), item.origin), this.#buildActions()].filter(Boolean);
  }

  #buildActions() {
    const { item } = this;
    if (!this.app.can("owner")) return null;
    const buttons = [
      item.claim && el("button", { type: "button", class: "quiet", onclick: () => this.#attempt(() => releaseItem(item.id)) }, t("releaseItem")),
      item.state === "skipped" && el("button", { type: "button", class: "quiet", onclick: () => this.#askRequeue() }, t("requeueItem")),
    ].filter(Boolean);
    return buttons.length > 0 && el("div", { class: "row" }, ...buttons);
  }

  #askRequeue() {
    const comment = el("textarea", { rows: "3", maxlength: "2000", dir: "auto", "aria-label": t("requeueComment"), placeholder: t("requeueComment"), autofocus: true });
    const submit = (event) => {
      event.preventDefault();
      dialog.close();
      this.#attempt(() => requeueItem(this.item.id, comment.value.trim()));
    };
    const form = el("form", { onsubmit: submit }, el("p", { class: "note" }, t("requeueNote")), comment, el("div", { class: "row buttons" }, el("button", { class: "main" }, t("requeueItem"))));
    const dialog = openDialog(t("requeueItem"), [form], { small: true });
  }

  async #attempt(action) {
    try {
      await action();
      await this.#load(this.item.id);
    } catch (error) {
      this.app.showError(error);
    }
  }

  #buildVerdicts(guideline) {
    const { verdicts, round, label, blind } = this.item;
    if (verdicts?.length) return [el("h2", {}, t("verdicts")), buildVerdicts(verdicts, guideline)];
    return [el("h2", {}, t("verdicts")), el("p", { class: "note" }, t(round && !label ? "blindUntilReveal" : blind ? "blindUntilJudged" : "noVerdicts"))];
  }
}
