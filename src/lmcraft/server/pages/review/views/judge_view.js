// The view in which items are judged, one after the other. The view of adjudicators builds on it.

import { createId } from "../../net/ids.js";
import { localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { readKey } from "../../views/keys.js";
import { claim, releaseClaim } from "../net/queue.js";
import { Attention } from "../state/attention.js";
import { Draft } from "../state/draft.js";
import { Lease } from "../state/lease.js";
import { DayBar } from "./day_bar.js";
import { askEscalation, askSkipReason } from "./decision_dialogs.js";
import { DecisionForm } from "./decision_form.js";
import { ItemCard } from "./item_card.js";
import { Notices } from "./notices.js";
import { buildPauseScreen, describeCap } from "./pause_screen.js";

const GUIDELINE_ITEM = "lmcraft-review-guideline"; // in the local storage
const NARROW = matchMedia("(max-width: 62rem)"); // the same width as in style/judge.css
const RETRY_MS = 3000;
const EMPTY_RETRY_MS = 20_000;
const PEEK_MS = 350; // a key held longer than this shows the text only while it is held

export class JudgeView {
  task = "review";
  action = "verdicts"; // the last part of the address of a decision
  title = "tabJudge";
  keys = [
    ["keyLabel", ["1", "2", "3"]],
    ["keyRule", ["A", "D", "F"]],
    ["searchRules", ["/"]],
    ["submit", ["Enter"]],
    ["submitFromField", ["Ctrl", "Enter"]],
    ["keyReveal", ["B"]],
    ["comment", ["C"]],
    ["undo", ["U"]],
    ["skip", ["S"]],
    ["escalate", ["E"]],
    ["pause", ["P"]],
  ];

  constructor(app) {
    Object.assign(this, { app, item: null, lease: null, screen: null, numLeft: null, guidelineList: [] });
    this.guideline = localStorage.getItem(GUIDELINE_ITEM) ?? "";
  }

  /** A node with what adjudicators see below the answers. */
  buildEvidence() {
    return null;
  }

  async mount(container) {
    this.container = container;
    this.outbox = this.app.outbox;
    this.outbox.setHandlers({ changed: () => this.#showAway(), refused: (item, error) => this.#handleRefusal(item, error), decided: (item) => item === this.item?.id && !this.isBusy && this.#handleOwnDecision() });
    this.attention = new Attention(() => this.lease?.resume());
    this.bar = new DayBar({ selectGuideline: (name) => this.#selectGuideline(name), pause: () => this.#pause() });
    this.notices = new Notices();
    this.form = new DecisionForm({
      submit: () => this.#submit(),
      skip: () => this.#skip(),
      escalate: this.task === "review" && (() => this.#escalate()),
      chosen: () => this.#announceMissing(),
      expanded: () => this.#coverReading(),
    });
    this.reading = el("div", { class: "reading", role: "region", tabindex: "0" });
    this.desk = el("div", { class: "desk" }, this.reading, this.form.node);
    this.heading = el("h1", { class: "visually-hidden" });
    container.append(this.heading, this.bar.node, this.notices.node, this.desk);
    this.desk.hidden = true;
    this.release = new AbortController();
    document.addEventListener("keyup", (event) => this.#endPeek(event), { signal: this.release.signal });
    NARROW.addEventListener("change", () => this.#coverReading(), { signal: this.release.signal });
    this.translate();
    this.guidelineList = await this.app.guidelines.list();
    if (!this.guidelineList.some(({ name }) => name === this.guideline)) this.guideline = "";
    this.translate();
    await this.outbox.send();
    await this.#next();
  }

  translate() {
    this.heading.textContent = t(this.title);
    this.reading.setAttribute("aria-label", t("theItem"));
    this.bar.showGuidelines(this.guidelineList, this.guideline);
    this.bar.show(this.app.me, this.numLeft);
    this.#showAway();
    if (this.item) this.#drawItem();
    else this.screen?.();
  }

  unmount() {
    clearTimeout(this.timer);
    this.isGone = true;
    this.lease?.end();
    this.outbox?.setHandlers(null);
    this.attention?.close();
    this.release?.abort();
  }

  handleKey(event) {
    const key = readKey(event);
    if (!this.item || this.isBusy) {
      if (key === "Enter" && !event.target.closest("button, a")) this.pauseAction?.();
      return;
    }
    if (event.repeat && key !== "Tab") return;
    if (event.shiftKey && key !== "/" && !/^\d$/.test(key)) return;
    if (this.#act(key, event)) event.preventDefault();
  }

  /** Does what a key stands for. Returns whether it stands for something. */
  #act(key, event) {
    const actions = {
      b: () => this.#peek(),
      s: () => this.#skip(),
      e: () => this.task === "review" && this.#escalate(),
      u: () => this.form.undo(),
      p: () => this.#pause(),
      c: () => this.form.focusNotes(),
      "/": () => (this.form.setExpanded(true), this.form.rules.focusSearch()),
      Escape: () => this.form.setExpanded(false),
    };
    if (/^[1-9]$/.test(key)) return this.form.chooseLabel(Number(key));
    if (key === "Enter") {
      if (event.target.closest("button, a, summary, input")) return false;
      this.#submit();
      return true;
    }
    if (!actions[key]) return this.form.rules.citeByKey(key);
    actions[key]();
    return true;
  }

  // The next item

  /** Claims an item and shows it. The previous one stays on the screen until then. */
  async #next() {
    clearTimeout(this.timer);
    this.#setBusy(true);
    let answer = null;
    let guideline = null;
    try {
      if (this.outbox.size) await this.outbox.send();
      answer = await claim(this.guideline, this.task);
      if (answer.item) guideline = await this.app.guidelines.get(answer.item.guideline, answer.item.version);
    } catch (error) {
      if (!this.isGone) this.#handleFailure(error);
      return;
    }
    if (this.isGone) return;
    this.app.refreshMe().then(() => this.isGone || this.bar.show(this.app.me, this.numLeft), () => {});
    if (!answer.item) this.#showEmpty(answer.reason || "empty");
    else if (this.outbox.has(answer.item.id)) this.#showScreen("away", {}, null, RETRY_MS); // its verdict waits to be sent
    else this.#showItem(answer.item, guideline);
  }

  #handleFailure(error) {
    if (error.status === undefined) throw error; // a fault of this page
    const retry = { label: t("retry"), run: () => this.#next() };
    if (error.isTemporary && !error.isUnauthorized) this.#showScreen("away", {}, retry, RETRY_MS);
    else this.#showScreen("failed", { reason: error.message }, retry);
  }

  #showItem(item, guideline) {
    const saved = this.outbox.getDraft(item.id);
    this.item = item;
    this.numLeft = item.num_left;
    this.draft = new Draft(item, guideline, saved, (fields) => this.outbox.setDraft(item.id, fields));
    this.#startLease();
    this.attention.startItem(item.sensitive);
    this.notices.clear();
    if (saved) this.notices.show("draft", t("draftRestored"));
    this.#suggestBreak();
    this.#showAway();
    this.bar.show(this.app.me, this.numLeft);
    this.#drawItem();
    this.#setBusy(false);
    this.reading.scrollTop = 0;
    this.card.node.focus({ preventScroll: true });
    this.app.announce(t("itemShown", { title: localize(guideline.title) }));
  }

  #startLease() {
    this.lease?.end();
    this.lease = new Lease(this.item.claim, { isPresent: () => this.attention.isPresent, lost: () => this.#handleLoss() });
  }

  #drawItem() {
    const { item, draft } = this;
    const { title, version } = draft.guideline;
    const tags = [t("guidelineTag", { title: localize(title), version }), ...(item.round ? [t("roundTag")] : [])];
    this.screen = this.pauseAction = null;
    this.desk.hidden = false;
    this.pauseNode?.remove();
    const isHidden = this.card?.item === item ? this.card.isHidden : !draft.fields.isSeen;
    this.card = new ItemCard(item, {
      tags,
      evidence: this.buildEvidence(item),
      isSeen: !isHidden,
      revealed: () => {
        draft.set({ isSeen: true });
        this.form.update();
      },
    });
    this.reading.replaceChildren(this.card.node);
    this.form.show(draft);
  }

  #setBusy(isBusy) {
    this.isBusy = isBusy;
    this.form.setBusy(isBusy);
  }

  // In place of an item

  #showEmpty(reason) {
    this.numLeft = null;
    const check = { label: t("checkNow"), run: () => this.#next() };
    const all = this.guideline && { label: t("takeFromAll"), run: () => this.#selectGuideline("") };
    if (reason === "exposure_cap") this.#showScreen(reason, describeCap(this.app.me), check, EMPTY_RETRY_MS, all);
    else this.#showScreen("queueEmpty", {}, check, EMPTY_RETRY_MS, all);
  }

  /** retryMs: after which the next item is asked for again, or 0. */
  #showScreen(kind, values, action, retryMs = 0, second = null) {
    const isSame = this.shownKind === kind && this.pauseNode?.isConnected;
    this.#leaveItem();
    this.shownKind = kind;
    this.pauseAction = action?.run ?? null;
    this.screen = () => {
      this.pauseNode?.remove();
      this.pauseNode = buildPauseScreen(kind, values, action, second);
      this.container.append(this.pauseNode);
    };
    if (!isSame) {
      this.screen();
      this.pauseNode.focus({ preventScroll: true });
    }
    if (retryMs) this.timer = setTimeout(() => (document.hidden ? this.#showScreen(kind, values, action, retryMs, second) : this.#next()), retryMs);
  }

  #leaveItem() {
    this.lease?.end();
    Object.assign(this, { item: null, lease: null, card: null, isBusy: false });
    this.desk.hidden = true;
    this.reading.replaceChildren();
    this.notices.clear();
    this.#showAway();
  }

  #pause() {
    const kind = this.lease ? "pauseReleased" : "pause";
    if (this.lease) releaseClaim(this.lease.token).catch(() => {}); // it runs out by itself
    clearTimeout(this.timer);
    this.#showScreen(kind, {}, { label: t("goOn"), run: () => (this.attention.restart(), this.#next()) });
  }

  #suggestBreak() {
    const reason = this.attention.breakReason;
    if (!reason) return;
    this.attention.restart();
    const pause = { label: t("takeBreak"), run: () => this.#pause() };
    this.notices.show("break", t(reason === "time" ? "breakTime" : "breakSensitive"), [pause], { isClosable: true });
  }

  #selectGuideline(name) {
    this.guideline = name;
    localStorage.setItem(GUIDELINE_ITEM, name);
    this.bar.showGuidelines(this.guidelineList, name);
    this.#releaseAndGoOn();
  }

  async #releaseAndGoOn() {
    this.#setBusy(true);
    this.lease?.end();
    if (this.lease) await releaseClaim(this.lease.token).catch(() => {}); // it runs out by itself
    await this.#next();
  }

  // Decisions

  async #submit() {
    if (!this.item || this.isBusy) return;
    if (this.draft.missing) {
      this.#announceMissing();
      if (this.draft.missing === "rule") this.form.setExpanded(true);
      return;
    }
    await this.#decide(this.action, this.draft.build(createId(), this.attention.countSeconds()));
  }

  async #skip() {
    const { item } = this;
    const reason = await askSkipReason();
    if (reason !== null && item === this.item) await this.#decide("skip", { claim: item.claim.token, reason, ...(this.task !== "review" && { task: this.task }) });
  }

  async #escalate() {
    const { item } = this;
    const comment = await askEscalation();
    if (comment !== null && item === this.item) await this.#decide("escalate", { claim: item.claim.token, comment });
  }

  async #decide(action, body) {
    const { item } = this;
    this.#setBusy(true);
    this.lease.end();
    const outcome = await this.outbox.submit(item.id, action, body);
    if (this.isGone) return;
    if (outcome === "refused") {
      this.#setBusy(false); // #handleRefusal has said why
      return;
    }
    this.card = null;
    await this.#next();
  }

  /** The server has not taken a decision, maybe one of an earlier item. */
  #handleRefusal(item, error) {
    if (item !== this.item?.id) this.app.showRefusal(error);
    else if (error.report?.code === "claim_expired") this.#handleLoss();
    else if (error.report?.code === "already_judged") this.#handleOwnDecision();
    else {
      const next = { label: t("nextItem"), run: () => this.#releaseAndGoOn() };
      this.notices.show("problem", t("notAccepted", { reason: error.message }), [next]);
      this.#keepDraft();
      this.#startLease();
    }
  }

  /** Somebody else may have the item by now. What is written stays in the browser, and comes back with the item. */
  #handleLoss() {
    this.lease?.end();
    this.#keepDraft();
    const next = { label: t("nextItem"), run: () => this.#next() };
    this.notices.show("problem", t("claimLost"), [next]);
    this.app.announce(t("claimLost"));
  }

  /** The user has decided about this item in another tab or on another device. */
  #handleOwnDecision() {
    this.lease?.end();
    this.outbox.setDraft(this.item.id, null);
    this.notices.show("problem", t("decidedElsewhere"), [{ label: t("nextItem"), run: () => this.#next() }]);
    this.app.announce(t("decidedElsewhere"));
  }

  #keepDraft() {
    this.outbox.setDraft(this.item.id, this.draft.fields);
  }

  // Small things

  /** In a narrow window, the sheet with the rules covers the item. */
  #coverReading() {
    this.reading.inert = this.form.isExpanded && NARROW.matches;
  }

  #announceMissing() {
    this.form.update();
    this.app.announce(this.form.state.textContent);
  }

  #showAway() {
    if (this.isGone || !this.outbox) return;
    const { isAway, size } = this.outbox;
    if (isAway && size) this.notices.show("away", t("kept", { n: size }));
    else this.notices.remove("away");
  }

  /** The key shows or hides the text; if it is held, only as long as it is held. */
  #peek() {
    if (!this.item.sensitive) return;
    this.peekSince = this.card.isHidden ? performance.now() : null;
    this.card.setHidden(!this.card.isHidden);
  }

  #endPeek(event) {
    if (readKey(event) !== "b" || !this.peekSince) return;
    const isHeld = performance.now() - this.peekSince > PEEK_MS;
    this.peekSince = null;
    if (isHeld) this.card?.setHidden(true);
  }
}
