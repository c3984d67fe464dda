// Starts the page.

import { onKeyNeeded, request } from "./net/api.js";
import { App } from "./app.js";
import { askKey } from "./views/dialogs.js";
import { byId, el } from "./views/dom.js";
import { drawIcons } from "./views/header.js";
import { t } from "./strings.js";

/** What the server says of itself; asks for a key where it wants one. */
async function askServer() {
  const info = await request("GET", "/api/info");
  if (info.models) return info;
  await request("GET", "/v1/models"); // refused until there is a good key: api.js asks for it
  return request("GET", "/api/info");
}

async function start(app) {
  try {
    await app.start(await askServer());
  } catch (error) {
    const again = el("button", { type: "button", class: "quiet", onclick: () => (notice.remove(), start(app)) }, t("retry"));
    const notice = el("div", { class: "notice", role: "alert" }, el("span", {}, error.message), again);
    byId("scroll").prepend(notice);
  }
}

drawIcons();
onKeyNeeded(askKey);
start(new App());
