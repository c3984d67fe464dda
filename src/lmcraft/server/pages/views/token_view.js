// An answer token by token, colored by probability.

import { t } from "../strings.js";
import { el, escapeControls } from "./dom.js";
import { showAlternatives } from "./token_alternatives.js";
import { formatProbability, formatToken, spellToken } from "./token_text.js";

const MAX_SHADE = 9; // classes p0 to p9 in style/token_view.css

export class TokenView {
  /** `onPick(index, alternative)` branches; `readLens(index, signal)` fetches what each layer says about a token. */
  constructor(onPick, readLens) {
    Object.assign(this, { onPick, readLens });
    this.tokens = [];
    this.prefix = el("span");
    this.list = el("div", { class: "token-list", role: "group", "aria-label": t("tokensList"), dir: "auto" }, this.prefix);
    this.node = el("div", {}, el("p", { class: "note" }, t("tokensHelp")), this.list);
    this.list.addEventListener("click", (event) => this.#open(event.target));
    this.list.addEventListener("keydown", (event) => this.#handleKey(event));
  }

  /** Appends new tokens; those on screen never change. `prefix`: the text before the first token. */
  show(prefix, tokens, { canBranch, hasLens }) {
    Object.assign(this, { canBranch, hasLens });
    if (this.prefix.textContent !== prefix) this.prefix.textContent = escapeControls(prefix);
    const count = this.tokens.length;
    this.list.append(...tokens.slice(count).map((token, i) => this.#buildToken(token, count + i)));
    this.tokens = tokens;
  }

  #buildToken(token, index) {
    const { logprob } = token;
    const text = spellToken(token);
    const shade = Math.min(MAX_SHADE, Math.max(0, Math.round((1 - Math.exp(logprob)) * MAX_SHADE)));
    const label = `${formatToken(text)} ${formatProbability(logprob)}`;
    const attributes = { role: "button", class: `token p${shade}`, tabindex: index ? "-1" : "0", "aria-label": label, title: label };
    return el("span", { ...attributes, "data-index": index }, escapeControls(text).replace(/\n/g, "⏎\n") || "∅");
  }

  #open(node) {
    if (!node.matches(".token")) return;
    this.#focus(node);
    const index = Number(node.dataset.index);
    const pick = this.canBranch ? (alternative) => this.onPick(index, alternative) : null;
    showAlternatives(node, this.tokens[index], pick, this.hasLens ? (signal) => this.readLens(index, signal) : null);
  }

  #handleKey(event) {
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

  /** The Tab key reaches one token; the arrow keys move it to another (roving tabindex). */
  #focus(node) {
    if (!node?.matches(".token")) return;
    this.list.querySelector('.token[tabindex="0"]')?.setAttribute("tabindex", "-1");
    node.setAttribute("tabindex", "0");
    node.focus();
  }
}
