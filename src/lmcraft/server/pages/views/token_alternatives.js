// The popover with the alternatives to a token.

import { t } from "../strings.js";
import { byId, el } from "./dom.js";
import { LensView } from "./lens_view.js";
import { formatProbability, formatToken, spellToken } from "./token_text.js";

const GAP_PX = 6;

/** `onPick(alternative)` branches, `readLens(signal)` fetches what each layer says; null if that is not possible. */
export function showAlternatives(anchor, token, onPick, readLens) {
  const popover = byId("alternatives");
  const lens = readLens && new LensView(token, readLens, () => positionPopover(popover, anchor));
  const alternatives = token.alternatives ?? [];
  const hasToken = alternatives.some((alternative) => isSameToken(alternative, token)); // false if it was too unlikely to be among them
  const choices = hasToken ? alternatives : [...alternatives, token];
  const hint = !alternatives.length ? t("noAlternatives") : onPick && t("branchHere");
  popover.replaceChildren(
    el("h2", {}, t("alternatives")),
    hint ? el("p", { class: "note" }, hint) : "",
    el("ol", {}, ...choices.map((choice) => el("li", {}, buildChoice(choice, isSameToken(choice, token), onPick, popover)))),
    lens ? lens.node : "",
  );
  popover.onkeydown = (event) => moveFocus(popover, event);
  popover.ontoggle = ({ newState }) => {
    if (newState !== "closed") return;
    lens?.close();
    if (popover.contains(document.activeElement)) anchor.focus();
  };
  popover.showPopover();
  positionPopover(popover, anchor);
  (popover.querySelector("button:enabled") ?? popover).focus();
}

const isSameToken = (a, b) => (a.id !== null && a.id !== undefined ? a.id === b.id : a.text === b.text);

function buildChoice(choice, isChosen, onPick, popover) {
  const pick = () => {
    popover.hidePopover();
    onPick(choice);
  };
  const probability = formatProbability(choice.logprob);
  return el(
    "button",
    { type: "button", disabled: isChosen || !onPick, onclick: pick },
    el("code", {}, formatToken(spellToken(choice))),
    el("meter", { min: "0", max: "1", value: Math.exp(choice.logprob), "aria-hidden": "true" }),
    el("span", {}, isChosen ? `${probability} ${t("chosen")}` : probability),
  );
}

function moveFocus(popover, event) {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step || !event.target.closest("ol")) return;
  event.preventDefault();
  const buttons = [...popover.querySelectorAll("ol button:enabled")];
  const next = buttons.indexOf(document.activeElement) + step;
  buttons[(next + buttons.length) % buttons.length]?.focus();
}

/** Below the token, or above it where there is no room below. */
function positionPopover(popover, anchor) {
  const token = anchor.getClientRects()[0];
  const { width, height } = popover.getBoundingClientRect();
  const fitsBelow = token.bottom + GAP_PX + height <= innerHeight;
  popover.style.left = `${Math.max(GAP_PX, Math.min(token.left, innerWidth - width - GAP_PX))}px`;
  popover.style.top = `${fitsBelow ? token.bottom + GAP_PX : Math.max(GAP_PX, token.top - GAP_PX - height)}px`;
}
