// The form of a verdict: a label, the rule it rests on, and what the reviewer wants to add.

import { wordError } from "../../error_texts.js";
import { localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { isComposing } from "../../views/keyboard.js";
import { RuleList } from "./rule_list.js";

const MAX_LABEL_KEYS = 9;
const MAX_CHARACTERS = { comment: 4000, correction: 100_000, contains: 40_000, excludes: 40_000 }; // as the server takes them
const MISSING = { text: "missingText", label: "missingLabel", rule: "missingRule", "": "missingNothing" };

export class DecisionForm {
  /** handlers: {submit(), skip(), escalate() or false, chosen(), expanded(isExpanded)}. */
  constructor(handlers) {
    this.handlers = handlers;
    this.rules = new RuleList({ cite: (id) => this.#choose("rule", id) });
    this.labels = el("fieldset", { class: "step labels" });
    this.notes = el("div", { class: "step notes" });
    this.more = el("div", { class: "more-steps" }, this.rules.node, this.notes);
    this.expander = el("button", { type: "button", class: "quiet expander", "aria-expanded": "false", onclick: () => this.setExpanded(!this.isExpanded) });
    this.state = el("p", { class: "note state" });
    this.undoButton = el("button", { type: "button", class: "quiet undo", "aria-keyshortcuts": "u", onclick: () => this.undo() });
    this.buttons = el("div", { class: "row buttons" });
    this.foot = el("div", { class: "foot" }, el("div", { class: "row" }, this.state, this.undoButton, this.expander), this.buttons);
    const submit = (event) => {
      event.preventDefault();
      handlers.submit();
    };
    const onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !isComposing(event)) submit(event);
    };
    this.box = el("fieldset", { class: "decision-box" }, this.labels, this.more, this.foot);
    this.node = el("form", { id: "decision", class: "decision", novalidate: true, onsubmit: submit, onkeydown }, this.box);
  }

  /** Draws the form for a draft. */
  show(draft) {
    this.draft = draft;
    this.node.setAttribute("aria-label", t("yourVerdict"));
    this.#buildLabels();
    this.rules.show(draft.guideline, draft.fields.rule);
    this.#buildNotes();
    this.#buildButtons();
    this.setExpanded(false);
    this.update();
    this.more.scrollTop = 0;
  }

  /** Shows what has changed in the draft. */
  update() {
    const { fields, missing, takesCorrection, canUndo } = this.draft;
    for (const input of this.labels.querySelectorAll("input")) input.checked = input.value === fields.label;
    this.rules.mark(fields.rule);
    this.improvement.hidden = !takesCorrection;
    this.#showConflict();
    this.state.textContent = missing ? t(MISSING[missing]) : t("missingNothing", { rule: fields.rule });
    this.state.classList.toggle("ready", !missing);
    this.submitButton.classList.toggle("main", !missing);
    this.submitButton.classList.toggle("quiet", Boolean(missing));
    this.undoButton.hidden = !canUndo;
  }

  #showConflict() {
    const { conflict } = this.draft;
    this.conflict.textContent = conflict ? wordError(conflict) : "";
    this.conflict.hidden = !conflict;
  }

  setBusy(isBusy) {
    this.box.disabled = isBusy;
    this.node.setAttribute("aria-busy", String(isBusy));
  }

  /** In a narrow window, rules and notes are a sheet that is pulled up. */
  setExpanded(isExpanded) {
    this.isExpanded = isExpanded;
    this.node.classList.toggle("expanded", isExpanded);
    this.expander.setAttribute("aria-expanded", String(isExpanded));
    this.expander.textContent = t(isExpanded ? "hideRules" : "showRules");
    this.handlers.expanded(isExpanded);
  }

  /** Chooses the label at this position, from 1. Returns whether there is one. */
  chooseLabel(position) {
    const label = this.draft.guideline.labels[position - 1];
    if (label) this.#choose("label", label.name);
    return Boolean(label);
  }

  undo() {
    if (!this.draft.canUndo) return;
    this.draft.undo();
    this.handlers.chosen();
    this.update();
  }

  focusNotes() {
    this.setExpanded(true);
    this.comment.focus();
  }

  #choose(name, value) {
    this.draft.choose(name, value);
    this.update();
    if (this.draft.fields.label && !this.draft.fields.rule) this.setExpanded(true);
    this.handlers.chosen();
  }

  #buildLabels() {
    const { labels } = this.draft.guideline;
    const options = labels.map(({ name, title, outcome }, index) => {
      const key = index < MAX_LABEL_KEYS ? String(index + 1) : null;
      const input = el("input", { type: "radio", name: "label", value: name, class: "visually-hidden", onchange: () => this.#choose("label", name), "aria-keyshortcuts": key });
      return el("label", { class: `verdict-label ${outcome}` }, input, key && el("kbd", { "aria-hidden": "true" }, key), el("span", { dir: "auto" }, localize(title) || name));
    });
    this.labels.replaceChildren(el("legend", {}, t("yourVerdict")), ...options);
  }

  #buildNotes() {
    this.comment = this.#buildArea("comment", 2);
    const copy = el("button", { type: "button", class: "link", onclick: () => this.#copyAnswer() }, t("copyAnswer"));
    this.correction = this.#buildArea("correction", 4);
    const checks = [this.#buildArea("contains", 2), this.#buildArea("excludes", 2)].map((area) => wrap(area));
    const heading = el("legend", {}, t("improve"));
    const help = el("p", { class: "note" }, t("improveHelp"));
    this.conflict = el("p", { class: "note conflict", role: "status", hidden: true });
    this.improvement = el("fieldset", { class: "improvement" }, heading, help, wrap(this.correction), copy, ...checks, this.conflict);
    this.notes.replaceChildren(wrap(this.comment), this.improvement);
  }

  #buildArea(name, rows) {
    const value = this.draft.fields[name];
    return el("textarea", { name, rows, value, dir: "auto", maxlength: MAX_CHARACTERS[name], oninput: (event) => this.#write(name, event.target.value) });
  }

  #write(name, text) {
    this.draft.set({ [name]: text });
    this.#showConflict();
  }

  #copyAnswer() {
    this.correction.value = this.draft.item.answers[0].slice(0, MAX_CHARACTERS.correction);
    this.#write("correction", this.correction.value);
    this.correction.focus();
  }

  #buildButtons() {
    const { handlers } = this;
    this.undoButton.replaceChildren(t("undo"), el("kbd", { "aria-hidden": "true" }, "U"));
    const skip = buildKeyButton(t("skip"), "S", handlers.skip);
    const escalate = handlers.escalate && buildKeyButton(t("escalate"), "E", handlers.escalate);
    this.submitButton = el("button", { class: "main submit", "aria-keyshortcuts": "Enter" }, t("submit"), el("kbd", { "aria-hidden": "true" }, "⏎"));
    this.buttons.replaceChildren(...[skip, escalate, this.submitButton].filter(Boolean));
  }
}

function buildKeyButton(label, key, onclick) {
  return el("button", { type: "button", class: "quiet", "aria-keyshortcuts": key.toLowerCase(), onclick }, label, el("kbd", { "aria-hidden": "true" }, key));
}

const wrap = (area) => el("label", { class: "labeled" }, el("span", {}, t(area.name)), area);
