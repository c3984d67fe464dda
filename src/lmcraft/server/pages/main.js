// Entry point of the chat page: reads /api/info and starts the application.
//
// chat/   conversations, answers, and the requests for them; no DOM
// views/  everything on the screen
// net/    the server's API, streams, the stores of conversations, and the journal of what they have not saved yet
// style/  CSS
//
// app.js connects chat/ and views/; strings.js has the text of the page in English and Chinese.

import { App } from "./app.js";
import { fetchJson, setKeyPrompt } from "./net/api.js";
import { t } from "./strings.js";
import { askKey } from "./views/dialogs.js";
import { byId, el } from "./views/dom.js";
import { drawButtonIcons } from "./views/icons.js";

/** The server's /api/info. Without a valid key it lists no models, so the user is asked for a key first. */
async function fetchInfo() {
  const info = await fetchJson("GET", "/api/info");
  if (info.models) return info;
  await fetchJson("GET", "/v1/models"); // answers 401 until there is a valid key; net/api.js asks for it
  return fetchJson("GET", "/api/info");
}

async function start(app) {
  try {
    await app.start(await fetchInfo());
  } catch (error) {
    const retry = el("button", { type: "button", class: "quiet", onclick: () => (notice.remove(), start(app)) }, t("retry"));
    const notice = el("div", { class: "notice", role: "alert" }, el("span", {}, error.message), retry);
    byId("scroll").prepend(notice);
  }
}

drawButtonIcons();
setKeyPrompt(askKey);
start(new App());
