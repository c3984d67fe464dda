// What is judged: the messages before it, and one answer or two; or a prompt or a document. Sensitive texts are blurred until asked for.

import { getLanguage, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildIcon, setIcon } from "../../views/icons.js";
import { buildTexts } from "./item_texts.js";
import { scramble } from "./safe_text.js";

const MAX_BLURRED_CHARACTERS = 700;
const MAX_BLURRED_MESSAGES = 2;
const SUBJECTS = { answer: "subjectAnswer", prompt: "subjectPrompt", document: "subjectDocument" };

export class ItemCard {
  /** tags: of the guideline and the round; evidence: a node below the answers, or null; handlers: {revealed()}. */
  constructor(item, { tags, evidence, isSeen, revealed }) {
    Object.assign(this, { item, evidence, revealed, isHidden: item.sensitive });
    this.toggle = el("button", { type: "button", class: "pill", hidden: !item.sensitive, onclick: () => this.setHidden(!this.isHidden) });
    const heading = el("h2", { id: "item-title" }, t(item.kind === "preference" ? "subjectPair" : SUBJECTS[item.subject] ?? "subjectAnswer"));
    const head = el("header", { class: "item-head" }, heading, ...tags.map((tag) => el("span", { class: "tag", dir: "auto" }, tag)), this.toggle);
    this.body = el("div", { class: "item-body" });
    this.node = el("article", { class: "item", "data-id": item.id, tabindex: "-1", "aria-labelledby": "item-title" }, head, this.body);
    this.setHidden(item.sensitive && !isSeen, { isSilent: true });
  }

  /** Blurs or shows the texts. isSilent: nobody asked for it. */
  setHidden(isHidden, { isSilent = false } = {}) {
    if (this.isHidden === isHidden && this.body.firstChild) return;
    this.isHidden = isHidden;
    const hadFocus = this.node.contains(document.activeElement) && document.activeElement !== this.node;
    const content = isHidden ? [this.#buildVeil()] : [buildTexts(this.item), ...(this.evidence ? [this.evidence] : [])];
    this.body.replaceChildren(...content);
    this.toggle.replaceChildren(el("span", {}, t(isHidden ? "showText" : "hideText")), el("kbd", { "aria-hidden": "true" }, "B"));
    this.toggle.setAttribute("aria-keyshortcuts", "b");
    setIcon(this.toggle, isHidden ? "eye" : "eyeOff");
    this.toggle.hidden = !this.item.sensitive || isHidden; // the veil has a button of its own
    if (hadFocus) this.node.focus({ preventScroll: true });
    if (!isHidden && !isSilent) this.revealed();
  }

  #buildVeil() {
    const shape = el("div", { class: "blurred", "aria-hidden": "true", inert: true }, buildShape(this.item));
    const label = el("span", {}, t("showText"));
    const button = el("button", { type: "button", class: "main", "aria-keyshortcuts": "b", onclick: () => this.setHidden(false) }, buildIcon("eye"), label, el("kbd", { "aria-hidden": "true" }, "B"));
    const cover = el("div", { class: "cover" }, button, el("p", { class: "note" }, el("span", {}, t("sensitiveNote")), " ", el("span", {}, t("sensitiveSkip"))));
    const veil = el("div", { class: "veil" }, shape, cover);
    veil.addEventListener("click", () => this.setHidden(false));
    return veil;
  }
}

function buildShape({ kind, messages, answers }) {
  const turns = messages.slice(-MAX_BLURRED_MESSAGES).map(({ role, content }) => el("div", { class: role === "user" ? "turn asking" : "turn" }, scramble(String(content ?? ""), MAX_BLURRED_CHARACTERS / 3)));
  const shapes = answers.map((answer) => el("div", { class: "judged" }, scramble(String(answer ?? ""), MAX_BLURRED_CHARACTERS)));
  return el("div", { class: "texts", lang: getLanguage() }, ...turns, el("div", { class: kind === "preference" ? "answers pair" : "answers" }, ...shapes));
}
