// Shortcuts of the whole page; help_dialog.js lists them.

import { byId } from "./dom.js";

/** does: {escape, search, begin, settings, help}; what it does not take stays the browser's. */
export function listenToKeys(does) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const action = actionOf(event, does);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function actionOf(event, does) {
  if (event.key === "Escape") {
    if (event.shiftKey) return () => byId("input").focus();
    const browsers = byId("alternatives").matches(":popover-open") || event.target.type === "search"; // it closes or clears
    return browsers ? null : does.escape;
  }
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.shiftKey) return key === "o" ? does.begin : null;
  return { k: does.search, ".": does.settings, "/": does.help }[key] ?? null;
}
