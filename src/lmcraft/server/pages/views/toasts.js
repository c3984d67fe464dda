// Short notices in a corner, for what has no better place.

import { byId, el, iconButton } from "./dom.js";
import { t } from "../strings.js";

const SECONDS = 8;

export function toast(text, kind = "problem") {
  const node = el("div", { class: `toast ${kind}` }, el("span", { dir: "auto" }, text));
  const away = () => node.remove();
  node.append(iconButton("close", t("close"), away));
  byId("toasts").append(node);
  setTimeout(away, SECONDS * 1000);
}
