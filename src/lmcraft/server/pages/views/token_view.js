// An answer token by token, colored by how likely each one was.

import { showAlternatives } from "./token_alternatives.js";
import { el, visible } from "./dom.js";
import { number, t } from "../strings.js";

const SHADES = 9;

export const percent = (logprob) => `${number(100 * Math.exp(logprob), 1)}%`;

/** A token's text with its spaces and breaks to be seen. */
export const spelled = (text) => visible(text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "·")) || "∅";

export class TokenView {
  /** pick(index, alternative) branches. */
  constructor(pick) {
    this.pick = pick;
    this.tokens = [];
    this.before = el("span", { class: "before" });
    this.list = el("div", { class: "token-list", role: "group", "aria-label": t("tokensList"), dir: "auto" }, this.before);
    this.node = el("div", { class: "token-view" }, el("p", { class: "note" }, t("tokensHelp")), this.list);
    this.list.addEventListener("click", (event) => this.#open(event.target));
    this.list.addEventListener("keydown", (event) => this.#key(event));
  }

  /** Tokens only ever join at the end, so that what stands there stays. */
  show(before, tokens, mayBranch) {
    this.mayBranch = mayBranch;
    if (this.before.textContent !== before) this.before.textContent = visible(before);
    this.list.append(...tokens.slice(this.tokens.length).map((token, i) => this.#token(token, this.tokens.length + i)));
    this.tokens = tokens;
  }

  #token({ text, logprob }, index) {
    const shade = Math.min(SHADES, Math.max(0, Math.round((1 - Math.exp(logprob)) * SHADES)));
    const label = `${spelled(text)} ${percent(logprob)}`;
    const shown = visible(text).replace(/\n/g, "⏎\n") || "∅";
    return el("span", { role: "button", class: `token p${shade}`, tabindex: index ? "-1" : "0", "aria-label": label, title: label, "data-index": index }, shown);
  }

  #open(node) {
    if (!node.matches(".token")) return;
    this.#focus(node);
    const index = Number(node.dataset.index);
    showAlternatives(node, this.tokens[index], this.mayBranch ? (alternative) => this.pick(index, alternative) : null);
  }

  #key(event) {
    if (!event.target.matches(".token")) return;
    const { previousElementSibling: previous, nextElementSibling: next } = event.target;
    const ends = { Home: this.list.querySelector(".token"), End: this.list.lastElementChild };
    if (event.key === "Enter" || event.key === " ") this.#open(event.target);
    else if (event.key === "ArrowRight" || event.key === "ArrowDown") this.#focus(next);
    else if (event.key === "ArrowLeft" || event.key === "ArrowUp") this.#focus(previous);
    else if (ends[event.key]) this.#focus(ends[event.key]);
    else return;
    event.preventDefault();
  }

  /** One token is in the order of the Tab key; the arrows move which. */
  #focus(node) {
    if (!node?.matches(".token")) return;
    this.list.querySelector('.token[tabindex="0"]')?.setAttribute("tabindex", "-1");
    node.setAttribute("tabindex", "0");
    node.focus();
  }
}
