// What the server keeps of the user, as a file, or gone for good.

import { forgetLastUsed } from "../chat/last_used.js";
import { formatDuration, t } from "../strings.js";
import { askForm, openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { downloadBlob } from "./download.js";
import { showToast } from "./toasts.js";

const LOGGED = { off: "promptsNotLogged", scrubbed: "promptsLoggedScrubbed", "as sent": "promptsLogged" };

/** info: the fields of /api/info; store: a JournaledStore. */
export function showData({ store: isStored, retention, prompt_log: promptLog }, store) {
  const kept = retention ? t("keptFor", { time: formatDuration(retention) }) : t("keptForGood");
  const download = el("button", { type: "button", class: "quiet", onclick: () => attempt(() => save(store)) }, t("downloadData"));
  const erase = el("button", { type: "button", class: "danger", onclick: () => attempt(() => askToErase(store)) }, t("eraseData"));
  openDialog(
    t("yourData"),
    [
      el("p", {}, isStored ? kept : t("memoryOnly")),
      el("p", {}, t(LOGGED[promptLog])),
      el("p", { class: "note" }, t("dataHelp")),
      el("div", { class: "row buttons" }, download, erase),
    ],
    { small: true },
  );
}

async function save(store) {
  const text = JSON.stringify(await store.exportData(), null, 2);
  downloadBlob(new Blob([text], { type: "application/json" }), "lmcraft-data.json");
}

async function askToErase(store) {
  const question = el("p", {}, t("confirmErasure"));
  const isSure = await askForm(t("eraseData"), [question], { submitLabel: t("eraseData"), getResult: () => true, buttonClass: "danger" });
  if (!isSure) return;
  await store.eraseData();
  forgetLastUsed();
  location.assign("/");
}

async function attempt(action) {
  try {
    await action();
  } catch (error) {
    showToast(error.message);
  }
}
