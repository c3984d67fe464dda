// What exactly a model read before it answered.

import { renderedPrompt } from "../chat/request_builder.js";
import { openDialog } from "./dialogs.js";
import { copy, el, visible } from "./dom.js";
import { number, t } from "../strings.js";
import { spelled } from "./token_view.js";

export async function showPrompt(chat, message, model) {
  const { text, ids, strings } = await renderedPrompt(chat, message, model);
  const copier = (label, what) => {
    const button = el("button", { type: "button", class: "quiet", onclick: () => copy(what, button) }, label);
    return button;
  };
  const tokens = ids.map((id, i) => el("span", { class: "piece" }, spelled(strings[i]), el("small", {}, String(id))));
  openDialog(t("prompt"), [
    el("p", { class: "note" }, t("promptMore", { n: number(ids.length), model: model.id })),
    el("div", { class: "row" }, el("h3", {}, t("promptText")), copier(t("copyText"), text)),
    el("pre", { class: "prompt-text", tabindex: "0", "aria-label": t("promptText") }, visible(text)),
    el("div", { class: "row" }, el("h3", {}, t("promptTokens")), copier(t("copyIds"), JSON.stringify(ids))),
    el("div", { class: "pieces", tabindex: "0", role: "group", "aria-label": t("promptTokens") }, ...tokens),
  ]);
}
