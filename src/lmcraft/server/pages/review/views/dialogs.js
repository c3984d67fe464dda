// The help with the keys of a view, and the dialog about the user.

import { forgetKey, hasKey } from "../../net/api.js";
import { formatNumber, t } from "../../strings.js";
import { openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";

const COMMON_KEYS = [["help", ["?"]]];

/** keys: [[key of a string, ["1", "2"]], ...]. */
export function showKeys(keys) {
  const rows = [...keys, ...COMMON_KEYS].flatMap(([name, symbols]) => [
    el("dt", {}, ...symbols.map((symbol) => el("kbd", {}, symbol))),
    el("dd", {}, t(name)),
  ]);
  openDialog(t("shortcuts"), [el("dl", { class: "keys" }, ...rows)]);
}

/** Asks for another key. */
export function changeKey() {
  forgetKey();
  location.reload();
}

/** Who the user is, what they have done today, and another key. */
export function showPerson({ name, role, exposure, judged_today: judged, gold }) {
  const counts = [
    [judged, t("judgedToday")],
    [exposure.shown, t("sensitiveToday", { cap: formatNumber(exposure.cap) })],
    ...(gold?.judged ? [[`${formatNumber(gold.correct)} / ${formatNumber(gold.judged)}`, t("goldCorrect")]] : []),
  ];
  const boxes = counts.map(([count, label]) => el("div", {}, el("strong", {}, typeof count === "number" ? formatNumber(count) : count), el("span", {}, label)));
  openDialog(t("personTitle", { name }), [
    el("p", { class: "note" }, t(`${role}Help`)),
    el("div", { class: "counts" }, ...boxes),
    ...(hasKey() ? [el("div", { class: "row buttons" }, el("button", { type: "button", class: "quiet", onclick: changeKey }, t("changeKey")))] : []),
  ]);
}
