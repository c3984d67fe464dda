// Questions and explanations in front of the page.

import { el, iconButton, visible } from "./dom.js";
import { t } from "../strings.js";

/** Opens a dialog that takes itself away again; `onclose` runs then. */
export function openDialog(title, children, { small = false, onclose = () => {} } = {}) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const close = iconButton("close", t("close"), () => dialog.close());
  const closed = () => {
    dialog.remove();
    onclose();
  };
  const given = { class: small ? "small" : null, "aria-labelledby": "dialog-title", onclose: closed };
  const dialog = el("dialog", given, el("div", { class: "row" }, heading, close), ...children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Resolves to `answer()` once the form is confirmed, and to null where the dialog is closed otherwise. */
function ask(title, children, confirm, answer, look = "main") {
  return new Promise((resolve) => {
    let given = null;
    const submit = (event) => {
      event.preventDefault(); // there is nowhere to send a form to
      given = answer();
      dialog.close();
    };
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("cancel"));
    const buttons = el("div", { class: "row buttons" }, cancel, el("button", { class: look }, confirm));
    const form = el("form", { onsubmit: submit }, ...children, buttons);
    const dialog = openDialog(title, [form], { small: true, onclose: () => resolve(given) });
  });
}

function askText(title, { note = null, value = "", type = "text", most = 1000 }) {
  const input = el("input", { type, value, maxlength: most, autofocus: true, autocomplete: "off", dir: "auto", "aria-label": note ?? title });
  return ask(title, [note && el("p", { class: "note" }, note), input], t("ok"), () => input.value);
}

export function askTitle(title) {
  return askText(t("rename"), { note: t("renameMore"), value: title, most: 200 });
}

export function askReason(rating, reason) {
  return askText(t(rating > 0 ? "good" : "bad"), { note: t("why"), value: reason });
}

/** `message`: why the last key was refused, if one was. */
export function askKey(message) {
  return askText(t("key"), { note: message || t("keyMore"), type: "password", most: 4096 });
}

export function confirmRemoval(title) {
  const question = el("p", { dir: "auto" }, visible(t("removeMore", { title })));
  return ask(t("remove"), [question], t("remove"), () => true, "danger");
}
