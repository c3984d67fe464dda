// The rules of a guideline beside the item: searched by typing, read, and cited by a letter, the arrow keys or a click.

import { getLanguage, localize, t } from "../../strings.js";
import { el } from "../../views/dom.js";
import { MarkdownView } from "../../views/markdown.js";
import { splitRules } from "../state/rule_texts.js";

const EXPANDED_ITEM = "lmcraft-review-rules"; // in the local storage: the texts of all rules are shown
const RULE_KEYS = "adfghijklmnoqrtvxyz"; // letters that judge_view.js has no other use for

export class RuleList {
  /** handlers: {cite(id)}. */
  constructor(handlers) {
    this.handlers = handlers;
    this.search = el("input", { type: "search", maxlength: "200", autocomplete: "off", oninput: () => this.#filter(), onkeydown: (event) => this.#handleKey(event) });
    this.list = el("div", { class: "rule-list" });
    this.none = el("p", { class: "note", role: "status" });
    this.legend = el("legend", {});
    this.introduction = el("details", { class: "introduction" });
    this.expander = el("button", { type: "button", class: "pill", onclick: () => this.#setExpanded(!this.isExpanded) });
    this.node = el("fieldset", { class: "step" }, this.legend, el("div", { class: "row" }, this.search, this.expander), this.introduction, this.list, this.none);
  }

  /** Draws a guideline's version. cited: id of the rule that is cited, or "". */
  show(guideline, cited) {
    const { introduction, rules } = splitRules(localize(guideline.text), guideline.rules.map(({ id }) => id));
    this.legend.textContent = t("citeRule");
    this.search.placeholder = t("searchRules");
    this.search.setAttribute("aria-label", t("searchRules"));
    this.search.setAttribute("aria-keyshortcuts", "/");
    this.search.value = "";
    this.none.textContent = "";
    this.expander.textContent = t("allTexts");
    this.#setExpanded(localStorage.getItem(EXPANDED_ITEM) === "1");
    this.#showIntroduction(guideline, introduction);
    this.rows = guideline.rules.map((rule, index) => this.#buildRow(rule, rules.get(rule.id) ?? "", RULE_KEYS[index]));
    this.list.replaceChildren(...this.rows.map(({ node }) => node));
    this.#filter();
    this.mark(cited);
  }

  mark(cited) {
    for (const { id, input, node } of this.rows) {
      input.checked = id === cited;
      node.classList.toggle("cited", id === cited);
    }
  }

  /** Cites the rule with this letter. Returns whether there is one. */
  citeByKey(letter) {
    const row = this.rows?.find(({ key }) => key === letter);
    if (row) this.#cite(row);
    return Boolean(row);
  }

  focusSearch() {
    this.search.focus();
    this.search.select();
  }

  /** Shows the texts of all rules, not only of the cited one. */
  #setExpanded(isExpanded) {
    this.isExpanded = isExpanded;
    localStorage.setItem(EXPANDED_ITEM, isExpanded ? "1" : "0");
    this.expander.setAttribute("aria-pressed", String(isExpanded));
    this.list.classList.toggle("expanded", isExpanded);
  }

  #showIntroduction(guideline, text) {
    const body = el("div", { class: "markdown" });
    new MarkdownView(body).show(text.replace(/^#\s.*\n?/, ""));
    this.introduction.hidden = !body.firstChild;
    const title = t("aboutGuideline", { title: localize(guideline.title), version: guideline.version });
    this.introduction.replaceChildren(el("summary", {}, title), body);
  }

  #buildRow(rule, text, key) {
    const { id } = rule;
    const title = localize(rule.title) || id;
    const body = el("div", { class: "markdown", lang: getLanguage() });
    new MarkdownView(body).show(text);
    const input = el("input", { type: "radio", name: "rule", value: id, form: "decision", class: "visually-hidden", onchange: () => this.#cite(row), "aria-keyshortcuts": key });
    const name = el("span", { class: "rule-name" }, el("b", {}, id), " ", title === id ? "" : title);
    const label = el("label", { dir: "auto" }, input, key ? el("kbd", { "aria-hidden": "true" }, key.toUpperCase()) : el("span", { class: "no-key" }), name);
    const row = { id, key, input, words: `${id} ${title}\n${text}`.toLowerCase() };
    row.node = el("div", { class: "rule" }, label, body.firstChild && body);
    return row;
  }

  #cite(row) {
    this.mark(row.id);
    this.handlers.cite(row.id);
  }

  #filter() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of this.rows) row.node.hidden = !words.every((word) => row.words.includes(word));
    this.list.classList.toggle("searched", words.length > 0);
    const isEmpty = this.rows.every(({ node }) => node.hidden);
    this.none.textContent = isEmpty ? t("noRules") : "";
  }

  /** In the search: the arrow keys go through the matches, Enter cites the first, Escape ends the search. */
  #handleKey(event) {
    if (event.isComposing || event.ctrlKey || event.metaKey) return;
    const matches = this.rows.filter(({ node }) => !node.hidden);
    if (event.key === "Enter") {
      event.preventDefault(); // not yet the verdict
      if (matches.length) this.#finish(matches.find(({ id }) => id.toLowerCase() === this.search.value.trim().toLowerCase()) ?? matches[0]);
    } else if (event.key === "ArrowDown" && matches.length) {
      event.preventDefault();
      matches[0].input.focus();
      this.#cite(matches[0]);
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.search.value = "";
      this.#filter();
      this.search.blur();
    }
  }

  #finish(row) {
    this.search.value = "";
    this.#filter();
    this.#cite(row);
    row.input.focus(); // Enter there sends the verdict
    row.node.scrollIntoView({ block: "nearest" });
  }
}
