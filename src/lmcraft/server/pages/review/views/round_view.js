// A calibration round: progress while it is open; afterwards all votes beside each other, and what people say about them.

import { buildAddress } from "../../net/address.js";
import { createId } from "../../net/ids.js";
import { formatNumber, t } from "../../strings.js";
import { openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";
import { buildTitle } from "../../views/facts.js";
import { isComposing } from "../../views/keyboard.js";
import { buildTime } from "../../views/times.js";
import { fetchRound, revealRound, sendComment } from "../net/management.js";
import { Poll } from "../state/poll.js";
import { buildConfusedRules, buildPairs } from "./agreement_tables.js";
import { formatInterval, formatKappa, formatShare, formatValue } from "./intervals.js";
import { ItemContent } from "./item_content.js";
import { buildPlain, titleOf } from "./marks.js";
import { buildVerdicts } from "./verdict_cards.js";

const POLL_SECONDS = 10;

export class RoundView {
  /** guidelines: Map of name -> guideline. */
  constructor(app, guidelines) {
    Object.assign(this, { app, guidelines, contents: new Map(), drafts: new Map() });
  }

  async mount(container, id) {
    this.container = container;
    this.id = id;
    this.poll = new Poll(() => this.#load(), POLL_SECONDS);
    await this.poll.start();
  }

  unmount() {
    this.isGone = true;
    this.poll?.stop();
  }

  async #load() {
    try {
      this.#show(await fetchRound(this.id));
    } catch (error) {
      if (!this.round) throw error;
    }
  }

  /** Draws a round, unless it is what is shown. A comment that is being typed keeps its field. */
  #show(round) {
    if (this.isGone || JSON.stringify(round) === JSON.stringify(this.round)) return;
    this.round = round;
    this.translate();
  }

  translate() {
    const { round } = this;
    const typing = document.activeElement?.dataset.entry;
    const guideline = this.guidelines.get(round.guideline);
    const note = [titleOf(guideline, round.guideline), t("versionOf", { version: round.version }), t("itemsOfRound", { n: formatNumber(round.items) })].join(" · ");
    const body = round.state === "open" ? this.#buildOpen() : this.#buildRevealed(guideline);
    this.container.replaceChildren(el("a", { class: "back", href: buildAddress("rounds") }, t("allRounds")), buildTitle(round.name, note), ...body.filter(Boolean));
    if (typing) this.container.querySelector(`[data-entry="${CSS.escape(typing)}"]`)?.focus({ preventScroll: true });
  }

  #buildOpen() {
    const { items, mine, progress } = this.round;
    const rows = progress.map(({ reviewer, votes }) => el("li", {}, el("span", { dir: "auto" }, reviewer), el("meter", { min: "0", max: items, value: votes, "aria-hidden": "true" }), el("span", {}, t("ratio", { n: formatNumber(votes), count: formatNumber(items) }))));
    const isDone = mine >= items;
    return [
      el("p", {}, t(isDone ? "roundDone" : "roundBlind")),
      el("div", { class: "row" }, !isDone && el("a", { class: "button main", href: buildAddress("judge") }, t("voteNow")), this.app.can("owner") && el("button", { type: "button", class: "quiet", onclick: () => this.#askReveal() }, t("reveal"))),
      el("h2", {}, t("progress")),
      rows.length ? el("ul", { class: "shares" }, ...rows) : el("p", { class: "note" }, t("noVotes")),
    ];
  }

  #askReveal() {
    const { items, progress } = this.round;
    const name = (voters) => voters.map(({ reviewer }) => reviewer).join(t("listSeparator"));
    const [done, waiting] = [progress.filter(({ votes }) => votes >= items), progress.filter(({ votes }) => votes < items)];
    const notes = [
      done.length > 0 && t("revealDone", { names: name(done) }),
      waiting.length > 0 && t("revealWaiting", { names: name(waiting) }),
      t(progress.length ? "revealOthers" : "revealNobody"),
      t("revealNote"),
    ];
    const reveal = async () => {
      dialog.close();
      try {
        this.#show(await revealRound(this.id));
      } catch (error) {
        this.app.showError(error);
      }
    };
    const dialog = openDialog(t("reveal"), [...notes.filter(Boolean).map((note) => el("p", { dir: "auto" }, note)), el("div", { class: "row buttons" }, el("button", { type: "button", class: "main", autofocus: true, onclick: reveal }, t("reveal")))], { small: true });
  }

  #buildRevealed(guideline) {
    const { agreement, entries } = this.round;
    return [
      agreement && this.#buildAgreement(agreement),
      el("h2", {}, t("votesTitle")),
      el("ol", { class: "entries" }, ...entries.map((entry, i) => this.#buildEntry(entry, i, guideline))),
      agreement && buildPairs(agreement.pairs ?? []),
      agreement && buildConfusedRules(agreement.confused_rules ?? [], guideline),
    ];
  }

  #buildAgreement({ agreement, krippendorff, votes, items }) {
    const boxes = [
      [formatValue(agreement, formatShare), t("percentAgreement"), formatInterval(agreement, formatShare)],
      [formatValue(krippendorff, formatKappa), t("krippendorffAlpha"), formatInterval(krippendorff, formatKappa)],
      [formatNumber(votes), t("votes"), ""],
      [formatNumber(items), t("itemsColumn"), ""],
    ];
    return el("div", { class: "counts" }, ...boxes.map(([figure, name, interval]) => el("div", {}, el("strong", {}, figure), el("span", {}, name, interval && el("small", {}, ` ${interval}`)))));
  }

  #buildEntry(entry, index, guideline) {
    const { id, subject, messages, answers, sensitive, unanimous, votes, comments } = entry;
    const title = t("entry", { n: formatNumber(index + 1) });
    if (!this.contents.has(id)) this.contents.set(id, new ItemContent({ kind: this.round.kind, subject, messages, answers, sensitive }));
    const content = this.contents.get(id);
    content.translate();
    const verdict = unanimous === null ? "" : el("span", { class: "badge", "data-state": unanimous ? "adjudicated" : "disagreed" }, t(unanimous ? "unanimous" : "stateDisagreed"));
    return el(
      "li",
      { class: "card" },
      el("header", {}, el("h3", {}, title), verdict),
      content.node,
      buildVerdicts(votes, guideline),
      comments.length > 0 && el("ol", { class: "thread", "aria-label": t("discussion") }, ...comments.map(buildComment)),
      this.#buildCommentForm(id, title),
    );
  }

  #buildCommentForm(item, title) {
    const label = t("commentOn", { entry: title });
    const draft = this.drafts.get(item) ?? { id: createId(), text: "" };
    const area = el("textarea", { rows: "1", maxlength: "4000", dir: "auto", value: draft.text, "data-entry": item, "aria-label": label, placeholder: t("writeComment") });
    area.addEventListener("input", () => this.drafts.set(item, { ...draft, text: area.value }));
    area.addEventListener("keydown", (event) => {
      if (isComposing(event) || event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      form.requestSubmit();
    });
    const submit = async (event) => {
      event.preventDefault();
      const text = area.value.trim();
      if (!text) return;
      try {
        await sendComment(this.id, item, { id: draft.id, text }); // with the same id again, if the answer is lost
        this.drafts.delete(item);
        area.value = "";
        await this.#load();
      } catch (error) {
        this.app.showError(error);
      }
    };
    const form = el("form", { class: "row comment-form", onsubmit: submit }, area, el("button", { class: "quiet" }, t("sendComment")));
    return form;
  }
}

const buildComment = ({ author, text, created }) => el("li", {}, el("header", {}, el("strong", { dir: "auto" }, author), buildTime(created)), buildPlain(text));
