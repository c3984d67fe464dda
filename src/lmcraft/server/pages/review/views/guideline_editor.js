// The owner's editor of a guideline: a new version is pasted or typed, its changes are shown, and only then saved.

import { buildAddress } from "../../net/address.js";
import { formatNumber, localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { buildTitle } from "../../views/facts.js";
import { sendGuideline } from "../net/management.js";
import { buildRuleChanges } from "./rule_changes.js";

const DRAFT_ITEM = "lmcraft-guideline"; // in the session storage, with the name
const LANGUAGES = ["en", "zh"];
const EXAMPLE = `+++
name = "tone"
kind = "label"
title = { en = "Tone", zh = "语气" }
reviews = 2
labels = [
  { name = "fine", outcome = "accept", title = { en = "Fine", zh = "合适" } },
  { name = "rude", outcome = "reject", title = { en = "Rude", zh = "失礼" } },
]
+++

# Tone

## T0 Nothing to object to

Cite this rule for an answer that no other rule forbids.

## T1 Insults

The answer insults the person who asks.
`;

export class GuidelineEditor {
  /** guideline: the newest version, with its `source` {en, zh}; null for a new one. */
  constructor(app, guideline) {
    const item = `${DRAFT_ITEM}/${guideline?.name ?? ""}`;
    const before = guideline ? (guideline.source ?? guideline.text) : {};
    const draft = sessionStorage.getItem(item);
    const texts = draft ? JSON.parse(draft) : guideline ? { ...before } : { en: EXAMPLE };
    Object.assign(this, { app, guideline, item, before, texts, check: null, problem: "", isBusy: false });
  }

  mount(container) {
    this.container = container;
    this.translate();
  }

  unmount() {}

  translate() {
    const name = this.guideline?.name;
    const title = this.guideline ? t("newVersionOf", { title: localize(this.guideline.title) }) : t("addGuideline");
    this.fields = LANGUAGES.map((language) => this.#buildField(language));
    this.result = el("section", { class: "check-result", tabindex: "-1", "aria-live": "polite" });
    this.submit = el("button", { class: "main" }, t("checkChanges"));
    const form = el(
      "form",
      { class: "guideline-editor", onsubmit: (event) => (event.preventDefault(), this.#check()) },
      el("div", { class: "columns-two" }, ...this.fields),
      el("div", { class: "row buttons" }, el("a", { class: "button quiet", href: name ? buildAddress("guidelines", name) : buildAddress("guidelines") }, t("cancel")), this.#buildDiscard(), this.submit),
    );
    this.container.replaceChildren(buildTitle(title, t("editorNote")), form, this.result);
    this.#drawResult();
  }

  #buildField(language) {
    const area = el("textarea", { rows: "24", spellcheck: "false", lang: language, dir: "auto", value: this.texts[language] ?? "", maxlength: "400000" });
    area.addEventListener("input", () => this.#change(language, area.value));
    const file = el("input", { type: "file", accept: ".md,text/markdown,text/plain", hidden: true });
    file.addEventListener("change", async () => {
      area.value = await file.files[0].text();
      file.value = "";
      this.#change(language, area.value);
      area.focus();
    });
    const button = el("button", { type: "button", class: "quiet", onclick: () => file.click() }, t("readFile"));
    const title = t(language === "en" ? "textEnglish" : "textChinese");
    return el("div", { class: "source" }, el("div", { class: "row between" }, el("label", {}, el("span", {}, title)), button, file), labelled(area, title));
  }

  #buildDiscard() {
    if (!sessionStorage.getItem(this.item)) return null;
    const discard = () => {
      sessionStorage.removeItem(this.item);
      this.texts = this.guideline ? { ...this.before } : { en: EXAMPLE };
      this.check = null;
      this.problem = "";
      this.translate();
    };
    return el("button", { type: "button", class: "quiet", onclick: discard }, t("discardDraft"));
  }

  #change(language, text) {
    this.texts = { ...this.texts, [language]: text };
    sessionStorage.setItem(this.item, JSON.stringify(this.texts));
    this.check = null;
    this.problem = "";
    this.#drawResult();
  }

  get #sent() {
    return Object.fromEntries(Object.entries(this.texts).filter(([, text]) => text?.trim()));
  }

  #check() {
    return this.#attempt(async () => {
      this.check = await sendGuideline(this.#sent, true);
    });
  }

  #save() {
    return this.#attempt(async () => {
      const { name } = await sendGuideline(this.#sent);
      sessionStorage.removeItem(this.item);
      this.app.announce(t("guidelineSaved"));
      location.hash = buildAddress("guidelines", this.guideline?.name ?? name ?? "");
    });
  }

  async #attempt(action) {
    if (this.isBusy) return;
    this.isBusy = true;
    this.problem = "";
    try {
      await action();
    } catch (error) {
      this.check = null;
      this.problem = error.message;
    } finally {
      this.isBusy = false;
      this.#drawResult();
      this.result.focus(); // which also scrolls to it
    }
  }

  #drawResult() {
    const { check, problem, guideline } = this;
    if (problem) return this.result.replaceChildren(el("p", { class: "form-problem", role: "alert", dir: "auto" }, problem));
    if (!check) return this.result.replaceChildren();
    if (guideline && check.version === guideline.version) return this.result.replaceChildren(el("p", { class: "note" }, t("sameAsCurrent", { version: check.version })));
    const save = el("button", { type: "button", class: "main", onclick: () => this.#save() }, t("saveVersion", { version: check.version }));
    return this.result.replaceChildren(
      el("h2", {}, t("changes")),
      ...(guideline ? buildRuleChanges(this.before, this.texts) : []),
      el("p", {}, t("touchedCount", { n: formatNumber(check.touched) })),
      el("div", { class: "row buttons" }, save),
    );
  }
}

function labelled(area, title) {
  area.setAttribute("aria-label", title);
  return area;
}
