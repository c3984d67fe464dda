// Entry point of the page of runs.
//
// app.js     the frame: header, keyboard, connection; it shows one view at a time
// net/       /api/runs
// state/     the runs and their curves, kept up to date; no DOM
// charts/    charts on canvases, which share their x axis
// views/     everything else on the screen
//
// From the chat page come the requests (net/), the elements, dialogs and icons (views/), and the style.

import "../frame_strings.js";
import "./strings.js";
import { setKeyPrompt } from "../net/api.js";
import { askKey } from "../views/dialogs.js";
import { drawButtonIcons } from "../views/icons.js";
import { App } from "./app.js";

drawButtonIcons();
setKeyPrompt(askKey);
new App().start();
