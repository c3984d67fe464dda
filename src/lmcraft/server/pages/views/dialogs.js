// Modal dialogs, and forms that ask the user for something.

import { t } from "../strings.js";
import { el, escapeControls } from "./dom.js";
import { buildIconButton } from "./icons.js";

const EXPORT_NAMES = { lmcraft: "lmcraft", "open-webui": "Open WebUI", chatgpt: "ChatGPT", "llama.cpp": "llama.cpp" };

/** Opens a dialog that removes itself when it is closed; `onclose` runs then. */
export function openDialog(title, children, { small = false, onclose = () => {} } = {}) {
  const heading = el("h2", { id: "dialog-title" }, title);
  const closeButton = buildIconButton("close", t("close"), () => dialog.close());
  const remove = () => {
    dialog.remove();
    onclose();
  };
  const attributes = { class: small ? "small" : null, "aria-labelledby": "dialog-title", onclose: remove };
  const dialog = el("dialog", attributes, el("div", { class: "row" }, heading, closeButton), ...children);
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Resolves to `getResult()` when the form is submitted, and to null when the dialog is closed in any other way. */
export function askForm(title, children, { submitLabel, getResult, buttonClass = "main" }) {
  return new Promise((resolve) => {
    let result = null;
    const submit = (event) => {
      event.preventDefault();
      result = getResult();
      dialog.close();
    };
    const cancel = el("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, t("cancel"));
    const buttons = el("div", { class: "row buttons" }, cancel, el("button", { class: buttonClass }, submitLabel));
    const form = el("form", { onsubmit: submit }, ...children, buttons);
    const dialog = openDialog(title, [form], { small: true, onclose: () => resolve(result) });
  });
}

function askText(title, { label, value = "", type = "text", maxlength = 1000 }) {
  const input = el("input", { type, value, maxlength, autofocus: true, autocomplete: "off", dir: "auto", "aria-label": label });
  return askForm(title, [el("p", { class: "note" }, label), input], { submitLabel: t("ok"), getResult: () => input.value });
}

export function askTitle(title) {
  return askText(t("rename"), { label: t("chatTitle"), value: title, maxlength: 200 });
}

export function askPresetName(name) {
  return askText(t("savePreset"), { label: t("presetName"), value: name, maxlength: 60 });
}

/** `message`: why the server refused the previous key, if there was one. */
export function askKey(message) {
  return askText(t("key"), { label: message || t("keyHelp"), type: "password", maxlength: 4096 });
}

/** Resolves to one of the formats, or to null. With a single one there is nothing to ask. */
export async function askExportFormat(formats) {
  if (formats.length === 1) return formats[0];
  const options = formats.map((format) => el("option", { value: format }, EXPORT_NAMES[format]));
  const select = el("select", { "aria-label": t("exportFormat") }, ...options);
  const note = el("p", { class: "note" }, t("exportFormat"));
  return askForm(t("export"), [note, select], { submitLabel: t("ok"), getResult: () => select.value });
}

export function confirmDeletion(title) {
  const question = el("p", { dir: "auto" }, escapeControls(t("confirmDeletion", { title })));
  return askForm(t("delete"), [question], { submitLabel: t("delete"), getResult: () => true, buttonClass: "danger" });
}
