// Entry point of the review page.
//
// app.js     the frame: header, sections, keyboard, the key; it shows one view at a time
// tabs.js    the sections, who may see them, and the views that draw them
// state/     an item on its way from the queue to a verdict; no DOM
// net/       /api/review, and the verdicts that the server has not acknowledged yet
// views/     everything on the screen
//
// From the chat page come the requests (net/), the elements, dialogs and icons (views/), and the style.

import "../frame_strings.js";
import "./management_strings.js";
import "./strings.js";
import { setKeyPrompt } from "../net/api.js";
import { askKey } from "../views/dialogs.js";
import { drawButtonIcons } from "../views/icons.js";
import { App } from "./app.js";

drawButtonIcons();
setKeyPrompt(askKey);
new App().start();
