// The page's keyboard shortcuts. help_dialog.js lists them.

import { byId } from "./dom.js";

/** handlers: {escape, search, newChat, settings, help}. */
export function listenForShortcuts(handlers) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const action = findAction(event, handlers);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function findAction(event, handlers) {
  if (event.key === "Escape") {
    if (event.shiftKey) return () => byId("input").focus();
    // The browser itself closes the popover and clears the search field.
    const isHandledByBrowser = byId("alternatives").matches(":popover-open") || event.target.type === "search";
    return isHandledByBrowser ? null : handlers.escape;
  }
  if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
  const key = event.key.toLowerCase();
  if (event.shiftKey) return key === "o" ? handlers.newChat : null;
  return { k: handlers.search, ".": handlers.settings, "/": handlers.help }[key] ?? null;
}

/** Whether a key belongs to the input method, such as Enter at the end of a composition. Safari reports that as key code 229. */
export const isComposing = (event) => event.isComposing || event.keyCode === 229;
