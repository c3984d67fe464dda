// The dialog about the user.

import { changeKey, hasKey } from "../../net/api.js";
import { formatNumber, t } from "../../strings.js";
import { openDialog } from "../../views/dialogs.js";
import { el } from "../../views/dom.js";

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
