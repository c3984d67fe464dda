// The dialog with the exact prompt of an answer, as text and as tokens.

import { fetchPrompt } from "../chat/request_builder.js";
import { formatNumber, t } from "../strings.js";
import { copyText } from "./clipboard.js";
import { openDialog } from "./dialogs.js";
import { el, escapeControls } from "./dom.js";
import { formatToken } from "./token_text.js";

export async function showPrompt(conversation, message, model) {
  const { text, ids, strings } = await fetchPrompt(conversation, message, model);
  const tokens = ids.map((id, i) => el("span", { class: "prompt-token" }, formatToken(strings[i]), el("small", {}, String(id))));
  openDialog(t("prompt"), [
    el("p", { class: "note" }, t("promptNote", { n: formatNumber(ids.length), model: model.id })),
    el("div", { class: "row" }, el("h3", {}, t("promptText")), buildCopyButton(t("copyText"), text)),
    el("pre", { class: "prompt-text", tabindex: "0", "aria-label": t("promptText") }, escapeControls(text)),
    el("div", { class: "row" }, el("h3", {}, t("promptTokens")), buildCopyButton(t("copyIds"), JSON.stringify(ids))),
    el("div", { class: "prompt-tokens", tabindex: "0", role: "group", "aria-label": t("promptTokens") }, ...tokens),
  ]);
}

function buildCopyButton(label, text) {
  const button = el("button", { type: "button", class: "quiet", onclick: () => copyText(text, button) }, label);
  return button;
}
