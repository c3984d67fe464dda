// How all charts are drawn; kept in the browser.

import { AXES } from "./metrics.js";

const ITEM = "lmcraft-runs-charts"; // in the local storage
const DEFAULTS = { axis: "step", isLogX: false, isLogY: false, smoothing: 0 };

export function loadOptions() {
  let saved = {};
  try {
    saved = JSON.parse(localStorage.getItem(ITEM)) ?? {};
  } catch {
    // not written by this page
  }
  const options = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS)) if (typeof saved[name] === typeof DEFAULTS[name]) options[name] = saved[name];
  if (!AXES[options.axis]) options.axis = DEFAULTS.axis;
  options.smoothing = Math.min(1, Math.max(0, options.smoothing));
  return options;
}

export const saveOptions = (options) => localStorage.setItem(ITEM, JSON.stringify(options));
