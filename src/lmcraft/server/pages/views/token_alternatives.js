// The small window at a token with what else was likely there.

import { byId, el } from "./dom.js";
import { t } from "../strings.js";
import { percent, spelled } from "./token_view.js";

const GAP = 6; // pixels

/** pick(alternative) branches; null where there is no branching. */
export function showAlternatives(anchor, token, pick) {
  const popover = byId("alternatives");
  const given = token.alternatives ?? [];
  const others = given.some((one) => same(one, token)) ? given : [...given, token]; // what was drawn may be none of the likeliest
  const hint = given.length ? (pick ? t("branchHere") : "") : t("noAlternatives");
  popover.replaceChildren(
    el("h2", {}, t("alternatives")),
    hint && el("p", { class: "note" }, hint),
    el("ol", {}, ...others.map((one) => el("li", {}, choice(one, same(one, token), pick, popover)))),
  );
  popover.onkeydown = (event) => moveWithin(popover, event);
  popover.ontoggle = ({ newState }) => newState === "closed" && popover.contains(document.activeElement) && anchor.focus();
  popover.showPopover();
  place(popover, anchor);
  (popover.querySelector("button:enabled") ?? popover).focus();
}

const same = (one, other) => (one.id !== null && one.id !== undefined ? one.id === other.id : one.text === other.text);

function choice(one, chosen, pick, popover) {
  const bar = el("meter", { min: "0", max: "1", value: Math.exp(one.logprob), "aria-hidden": "true" });
  const act = () => {
    popover.hidePopover();
    pick(one);
  };
  const label = chosen ? `${percent(one.logprob)} ${t("chosen")}` : percent(one.logprob);
  return el("button", { type: "button", disabled: chosen || !pick, onclick: act }, el("code", {}, spelled(one.text)), bar, el("span", {}, label));
}

function moveWithin(popover, event) {
  const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  const buttons = [...popover.querySelectorAll("button:enabled")];
  const next = buttons.indexOf(document.activeElement) + by;
  buttons[(next + buttons.length) % buttons.length]?.focus();
}

/** Below the token, or above where there is no room. */
function place(popover, anchor) {
  const at = anchor.getClientRects()[0];
  const { width, height } = popover.getBoundingClientRect();
  const below = at.bottom + GAP + height <= innerHeight;
  popover.style.left = `${Math.max(GAP, Math.min(at.left, innerWidth - width - GAP))}px`;
  popover.style.top = `${below ? at.bottom + GAP : Math.max(GAP, at.top - GAP - height)}px`;
}
