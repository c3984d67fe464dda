// One message of the conversation.

import { actionsOf, statsOf } from "./message_actions.js";
import { el, icon, visible } from "./dom.js";
import { editor } from "./message_editor.js";
import { patch } from "./markdown.js";
import { t } from "../strings.js";
import { TokenView } from "./token_view.js";

export class MessageView {
  /** does: {toggleTokens(message), prompt(message), answer(message)}. */
  constructor(controller, does) {
    Object.assign(this, { controller, does, editing: false, drawnFrom: [] });
    this.head = el("header");
    this.body = el("div", { class: "body" });
    this.foot = el("footer");
    this.node = el("li", { tabindex: "-1" }, this.head, this.body, this.foot);
  }

  /** place: {siblings, last, tokens: whether they are shown, paired}. Draws only what changed. */
  show(message, place) {
    Object.assign(this, { message, place });
    const { content, rating, reason, live, problem, id } = message;
    const { siblings, last, tokens, paired } = place;
    const language = document.documentElement.lang;
    const from = [id, content, rating, reason, live, problem, siblings.indexOf(id), siblings.length, last, tokens, paired, language, this.editing];
    if (from.every((fact, i) => fact === this.drawnFrom[i])) return;
    this.drawnFrom = from;
    this.#draw();
  }

  /** While the answer grows: its text and its speed, nothing else. */
  stream() {
    this.#drawBody();
    this.stats.textContent = statsOf(this.message);
  }

  edit() {
    this.editing = true;
    this.#again();
    const area = this.body.querySelector("textarea");
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  #again() {
    this.show(this.message, this.place);
  }

  #draw() {
    const { message, place } = this;
    this.node.className = `message ${message.role}${message.live ? " live" : ""}${place.last ? " last" : ""}`;
    this.node.dataset.id = message.id;
    this.head.replaceChildren(...this.#heading());
    this.tokenView = null;
    this.body.replaceChildren();
    this.body.blocks = null; // what markdown.js remembers of it
    this.#drawBody();
    this.stats = el("span", { class: "stats" }, statsOf(message));
    if (message.details?.seed !== undefined) this.stats.title = `${t("seed")}: ${message.details.seed}`;
    const does = {
      edit: () => this.edit(),
      toggleTokens: () => this.does.toggleTokens(this.message),
      prompt: () => this.does.prompt(this.message),
      answer: () => this.does.answer(this.message),
    };
    const buttons = this.editing ? [] : actionsOf(message, place, this.controller, does);
    const row = el("div", { class: "actions" }, ...buttons.filter(Boolean), this.stats);
    this.foot.replaceChildren(...this.#notices(), row);
  }

  #heading() {
    const { role, model, edited_from: edited } = this.message;
    const marked = edited && el("span", { class: "tag" }, t("edited"));
    if (role === "user") return [el("h2", { class: "hidden" }, t("you"))];
    return [el("h2", { class: "hidden" }, t("answer")), el("span", { class: "by" }, model), marked].filter(Boolean);
  }

  #drawBody() {
    const { message, body } = this;
    if (this.editing) return this.#drawEditor();
    body.classList.toggle("waiting", Boolean(message.live) && !message.content);
    body.setAttribute("aria-busy", String(Boolean(message.live)));
    if (message.live && !message.content) return body.replaceChildren(...waiting());
    if (body.querySelector(".dot")) body.replaceChildren();
    if (message.role === "user") return body.replaceChildren(el("p", { class: "plain", dir: "auto" }, visible(message.content)));
    const { tokens = [], prefix = 0, prompt_ids: ids } = message.details ?? {};
    if (!this.place.tokens || !(message.live?.tokens ?? tokens).length) return patch(body, message.content);
    if (!this.tokenView) {
      this.tokenView = new TokenView((index, other) => this.does.branch(this.message, index, other));
      body.replaceChildren(this.tokenView.node);
    }
    const { live } = message;
    this.tokenView.show(message.content.slice(0, live?.prefix ?? prefix), live?.tokens ?? tokens, !live && Boolean(ids) && !message.unsaved);
  }

  #drawEditor() {
    if (this.body.querySelector(".editor")) return; // what was typed stays
    const stop = () => {
      this.editing = false;
      this.#again();
    };
    const form = editor(this.message, {
      save: async (text, goOn) => {
        const kept = await this.controller.edit(this.message.id, text, goOn);
        if (kept) stop();
        return kept;
      },
      cancel: () => {
        stop();
        this.node.querySelector('[data-act="edit"]')?.focus();
      },
    });
    this.body.replaceChildren(form);
  }

  #notices() {
    const { message } = this;
    if (message.role !== "assistant" || message.live) return [];
    const problem = message.problem ?? message.details?.problem;
    if (problem) return [this.#problem(problem)];
    const finish = message.details?.finish;
    const said = !message.content ? t("nothingSaid") : finish === "length" ? t("cutByLength") : finish === "stopped" ? t("stopped") : "";
    return said ? [el("p", { class: "note" }, said)] : [];
  }

  #problem(text) {
    const again = el("button", { type: "button", class: "quiet rests", "data-act": "retry", onclick: () => this.controller.retry(this.message.id) }, t("retry"));
    return el("div", { class: "notice", role: "group" }, icon("alert"), el("span", { dir: "auto" }, text), again);
  }
}

function waiting() {
  const dot = () => el("span", { class: "dot", "aria-hidden": "true" });
  return [el("span", { class: "hidden" }, t("thinking")), dot(), dot(), dot()];
}
