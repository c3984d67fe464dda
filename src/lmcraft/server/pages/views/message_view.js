// One message of the conversation.

import { splitFiles } from "../chat/attached_files.js";
import { wordProblem } from "../error_texts.js";
import { t } from "../strings.js";
import { el, escapeControls } from "./dom.js";
import { buildHint, isHintSeen } from "./first_use_hint.js";
import { buildIcon } from "./icons.js";
import { MarkdownView } from "./markdown.js";
import { buildActions, buildStats } from "./message_actions.js";
import { buildEditor } from "./message_editor.js";
import { buildReasonForm } from "./reason_form.js";
import { ThoughtsView } from "./thoughts_view.js";
import { TokenView } from "./token_view.js";

export class MessageView {
  /** handlers: {toggleTokens(message), showPrompt(message), branch(message, index, alternative), hasLens(message), readLens(message, index, signal), report(message) or null, getReportProblem()}. */
  constructor(controller, handlers) {
    Object.assign(this, { controller, handlers, isEditing: false, isRating: false, drawnState: [] });
    this.head = el("header");
    this.thoughts = new ThoughtsView();
    this.body = el("div", { class: "body markdown" });
    this.foot = el("footer");
    this.node = el("li", { tabindex: "-1" }, this.head, this.body, this.foot);
  }

  /**
   * display: {siblings, isLast, showTokens, pairedWith: the other answer of a pair, letter: in place of the model's name, so that
   * the user does not know it}. Redraws only if something changed.
   */
  show(message, display) {
    Object.assign(this, { message, display });
    const { content, rating, reason, live, problem, id, isReported } = message;
    const { siblings, isLast, showTokens, pairedWith, letter } = display;
    const version = [siblings.indexOf(id), siblings.length];
    const { lang } = document.documentElement;
    const saving = this.controller.describeSaving(id)?.problem;
    if (!this.drawnState.length && !pairedWith && this.controller.getEditorText(id) !== null) this.isEditing = true;
    const state = [id, content, rating, reason, live, problem, ...version, isLast, showTokens, pairedWith, letter, lang, saving, isReported, this.isEditing, this.isRating];
    if (state.every((value, i) => value === this.drawnState[i])) return;
    this.drawnState = state;
    this.#draw();
  }

  /** Draws the text and the speed of an answer in progress, nothing else. */
  drawProgress() {
    this.#drawBody();
    this.stats.replaceChildren(...this.#buildStats());
  }

  edit() {
    this.isEditing = true;
    this.#redraw();
    const area = this.body.querySelector("textarea");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  #redraw() {
    this.show(this.message, this.display);
  }

  #draw() {
    const { message, display } = this;
    this.node.className = `message ${message.role}${message.live ? " live" : ""}${display.isLast ? " last" : ""}`;
    this.node.dataset.id = message.id;
    this.head.replaceChildren(...this.#buildHead());
    this.#drawBody();
    this.stats = el("span", { class: "stats" }, ...this.#buildStats());
    if (message.details?.seed !== undefined) this.stats.title = `${t("seed")}: ${message.details.seed}`;
    const handlers = {
      edit: () => this.edit(),
      toggleTokens: () => this.handlers.toggleTokens(this.message),
      showPrompt: () => this.handlers.showPrompt(this.message),
      rate: (rating) => this.#rate(rating),
      report: this.handlers.report && (() => this.handlers.report(this.message)),
      reportProblem: this.handlers.getReportProblem(),
    };
    const buttons = this.isEditing ? [] : buildActions(message, display, this.controller, handlers);
    const actions = el("div", { class: "actions" }, ...buttons.filter(Boolean), this.stats);
    const focused = this.foot.contains(document.activeElement) ? document.activeElement : null;
    this.foot.replaceChildren(...this.#buildNotices(), actions, ...this.#buildReasonForm());
    if (this.foot.contains(focused)) focused.focus(); // the reason that is being typed
  }

  /** The speed would tell which model it is. */
  #buildStats() {
    return this.display.letter ? [] : buildStats(this.message);
  }

  #rate(rating) {
    this.isRating = rating !== 0;
    this.reasonForm = null;
    this.controller.rate(this.message.id, rating, ""); // counts without a reason, too
    this.foot.querySelector(".reason-form input")?.focus();
  }

  #buildReasonForm() {
    if (!this.isRating || !this.message.rating) return [];
    const close = () => {
      this.isRating = false;
      this.#redraw();
    };
    const save = (reason) => {
      this.controller.rate(this.message.id, this.message.rating, reason);
      close();
    };
    this.reasonForm ??= buildReasonForm(this.message.reason, save, close);
    return [this.reasonForm];
  }

  #buildHead() {
    const { role, model, edited_from: editedFrom } = this.message;
    if (role === "user") return [el("h2", { class: "visually-hidden" }, t("you"))];
    const parts = [el("h2", { class: "visually-hidden" }, t("answer")), el("span", { class: "model-name" }, this.display.letter ?? model)];
    return editedFrom ? [...parts, el("span", { class: "tag" }, t("edited"))] : parts;
  }

  #drawBody() {
    const { message, body } = this;
    const { role, content, live, details } = message;
    if (this.isEditing) return this.#drawEditor();
    this.thoughts.show(message);
    if (!this.thoughts.isEmpty && !this.thoughts.node.parentNode) body.before(this.thoughts.node);
    const isWaiting = Boolean(live) && !content && !live.thoughts;
    body.classList.toggle("waiting", isWaiting);
    body.setAttribute("aria-busy", String(Boolean(live)));
    const tokens = live?.tokens ?? details?.tokens ?? [];
    if (isWaiting) this.#fillBody("waiting", buildWaitingDots);
    else if (role === "user") this.#fillBody(`question ${content}`, () => buildQuestion(content));
    else if (this.display.showTokens && tokens.length) this.#drawTokens(tokens);
    else this.#drawMarkdown(content);
  }

  /** Fills the body anew, unless it shows the same kind of content: then its nodes stay, and with them a selection or the text in the editor. */
  #fillBody(kind, build) {
    const state = `${kind} ${this.message.id} ${document.documentElement.lang}`;
    if (state === this.bodyState) return;
    this.bodyState = state;
    this.body.replaceChildren(...build());
  }

  #drawMarkdown(content) {
    this.#fillBody("markdown", () => {
      this.markdown = new MarkdownView(this.body);
      return [];
    });
    this.markdown.show(content);
  }

  #drawTokens(tokens) {
    const { live, content, details, isTransient } = this.message;
    this.#fillBody("tokens", () => {
      const branch = (index, alternative) => this.handlers.branch(this.message, index, alternative);
      this.tokenView = new TokenView(branch, (index, signal) => this.handlers.readLens(this.message, index, signal));
      return [this.tokenView.node];
    });
    const prefix = content.slice(0, live?.prefix ?? details?.prefix ?? 0);
    const canBranch = !live && Boolean(details?.prompt_ids) && !isTransient;
    this.tokenView.show(prefix, tokens, { canBranch, hasLens: canBranch && this.handlers.hasLens(this.message) });
  }

  #drawEditor() {
    this.#fillBody("editor", () => [this.#buildEditor()]);
  }

  #buildEditor() {
    const { id, role, content } = this.message;
    const close = () => {
      this.isEditing = false;
      this.controller.setEditorText(id, null);
      this.#redraw();
    };
    return buildEditor(role, this.controller.getEditorText(id) ?? content, {
      change: (text) => this.controller.setEditorText(id, text),
      save: (text, thenContinue) => this.controller.edit(id, text, thenContinue) && close(),
      cancel: () => {
        close();
        this.node.querySelector('[data-act="edit"]')?.focus();
      },
    });
  }

  #buildNotices() {
    const { live, details } = this.message;
    const hint = this.display.isLast && !this.display.pairedWith && !live && details?.tokens?.length && !isHintSeen();
    return [this.#buildAnswerNotice(), hint && buildHint(), this.#buildSavingNotice()].filter(Boolean);
  }

  #buildAnswerNotice() {
    const { role, live, content, details } = this.message;
    if (role !== "assistant" || live) return null;
    const problem = this.message.problem ?? details?.problem;
    if (problem) return this.#buildProblem(wordProblem(problem));
    if (details?.finish === "content_filter") return el("p", { class: "note" }, t("refused"));
    const finish = { length: t("cutByLength"), stopped: t("stopped") };
    const note = ((content || details?.thoughts) && finish[details?.finish]) || (!content && t("emptyAnswer"));
    return note ? el("p", { class: "note" }, note) : null;
  }

  #buildProblem(text) {
    const { id, isTransient } = this.message;
    const canContinue = this.display.isLast && !this.display.pairedWith && !isTransient;
    return buildNotice(text, [
      canContinue && buildNoticeButton("continue", () => this.controller.continueAnswer(id)),
      buildNoticeButton("retry", () => this.controller.retry(id)),
    ]);
  }

  #buildSavingNotice() {
    const saving = this.controller.describeSaving(this.message.id);
    if (!saving) return null;
    if (!saving.problem) return el("p", { class: "note unsaved" }, t("notSavedYet"));
    return buildNotice(t("notSaved", { reason: saving.problem }), [buildNoticeButton("retry", () => this.controller.saveAgain())]);
  }
}

function buildNotice(text, buttons) {
  return el("div", { class: "notice", role: "group" }, buildIcon("alert"), el("span", { dir: "auto" }, text), ...buttons);
}

function buildNoticeButton(action, onclick) {
  return el("button", { type: "button", class: "quiet idle-only", "data-act": action, onclick }, t(action));
}

/** The files of a question, folded, and its text. */
function buildQuestion(content) {
  const { files, text } = splitFiles(content);
  const buildFile = ({ name, text }) => el("details", { class: "file" }, el("summary", { dir: "auto" }, escapeControls(name)), el("pre", { dir: "auto", tabindex: "0" }, escapeControls(text)));
  return [...files.map(buildFile), text && el("p", { class: "plain", dir: "auto" }, escapeControls(text))].filter(Boolean);
}

function buildWaitingDots() {
  const buildDot = () => el("span", { class: "dot", "aria-hidden": "true" });
  return [el("span", { class: "visually-hidden" }, t("waiting")), buildDot(), buildDot(), buildDot()];
}
