// Short messages in a corner of the page.

import { t } from "../strings.js";
import { byId, el } from "./dom.js";
import { buildIconButton } from "./icons.js";

const LIFETIME_MS = 8000;

export function showToast(text, kind = "problem") {
  const toast = el("div", { class: `toast ${kind}` }, el("span", { dir: "auto" }, text));
  const remove = () => toast.remove();
  toast.append(buildIconButton("close", t("close"), remove));
  byId("toasts").append(toast);
  setTimeout(remove, LIFETIME_MS);
}
