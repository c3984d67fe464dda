// The row of buttons under a message.

import { askReason } from "./dialogs.js";
import { copy, el, iconButton } from "./dom.js";
import { number, t } from "../strings.js";

/**
 * place: {siblings, last, tokens, paired}; does: {edit(), toggleTokens(), prompt(), answer()}.
 * `rests` marks what has to wait while an answer of the conversation is being written; `data-act` finds a button
 * again after the row was drawn anew.
 */
export function actionsOf(message, place, controller, does) {
  const { id, role } = message;
  const button = (act, name, run, given = {}) => iconButton(name, t(act), run, { "data-act": act, ...given });
  const copier = button("copy", "copy", (event) => copy(message.content, event.currentTarget));
  const saved = !message.unsaved;
  const rests = { class: "icon rests" };
  if (message.live) return [switcher(message, place, controller)];
  if (role === "user") {
    const unanswered = place.last && button("again", "again", () => does.answer(), rests);
    return [switcher(message, place, controller), copier, saved && button("edit", "edit", does.edit, rests), unanswered];
  }
  const looks = [
    message.details?.tokens?.length > 0 && button("tokens", "tokens", does.toggleTokens, { "aria-pressed": String(place.tokens) }),
    button("prompt", "prompt", does.prompt),
  ];
  if (place.paired) return [copier, ...looks];
  const goesOn = saved && place.last && message.details?.finish !== "stop";
  return [
    switcher(message, place, controller),
    copier,
    saved && button("edit", "edit", does.edit, rests),
    button("again", "again", () => controller.regenerate(id), rests),
    goesOn && button("go", "go", () => controller.goOn(id), rests),
    saved && thumb(message, 1, controller),
    saved && thumb(message, -1, controller),
    ...looks,
  ];
}

function thumb(message, rating, controller) {
  const name = rating > 0 ? "good" : "bad";
  const set = message.rating === rating;
  const label = set && message.reason ? `${t(name)}: ${message.reason}` : t(name);
  const run = async () => {
    if (set) return controller.rate(message.id, 0, "");
    await controller.rate(message.id, rating, ""); // counts even if the question below is dismissed
    const reason = (await askReason(rating, ""))?.trim();
    if (reason) await controller.rate(message.id, rating, reason);
  };
  return iconButton(name, label, run, { "data-act": name, "aria-pressed": String(set) });
}

function switcher({ id }, { siblings }, controller) {
  if (siblings.length < 2) return null;
  const n = siblings.indexOf(id) + 1;
  const count = siblings.length;
  const step = (act, name, by, end) => iconButton(name, t(act), () => controller.step(id, by), { "data-act": act, disabled: end });
  return el(
    "span",
    { class: "switcher", role: "group", "aria-label": t("version", { n, count }) },
    step("previous", "left", -1, n === 1),
    el("span", {}, `${n}/${count}`),
    step("next", "right", 1, n === count),
  );
}

/** How fast an answer came, or null where nobody measured. */
export function statsOf({ live, details }) {
  const timings = live?.timings() ?? details?.timings;
  if (!timings) return "";
  const { rate, first, tokens } = timings;
  return t("stats", { rate: rate ? number(rate, 1) : "–", first: number(first, 2), n: number(tokens) });
}
