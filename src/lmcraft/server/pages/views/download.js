// Saves data as a file.

import { el } from "./dom.js";

const URL_LIFETIME_MS = 60_000; // until the download has started

export function downloadBlob(blob, name) {
  const href = URL.createObjectURL(blob);
  el("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), URL_LIFETIME_MS);
}
