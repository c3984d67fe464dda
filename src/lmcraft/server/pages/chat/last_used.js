// What a new chat starts with: the model, system prompt and settings that the user chose last. And named presets of the latter two.

const LAST_USED_ITEM = "lmcraft-last-used"; // in the local storage, as are the presets
const PRESETS_ITEM = "lmcraft-presets";

/** {model, system, settings}, as far as the user has chosen any. */
export const readLastUsed = () => readJson(LAST_USED_ITEM);

export function saveLastUsed({ model, system, settings }) {
  localStorage.setItem(LAST_USED_ITEM, JSON.stringify({ model, system, settings }));
}

/** Forgets what the user has chosen, and all presets. */
export function forgetLastUsed() {
  for (const item of [LAST_USED_ITEM, PRESETS_ITEM]) localStorage.removeItem(item);
}

/** Map of name -> {system, settings}, by name. */
export const readPresets = () => new Map(Object.entries(readJson(PRESETS_ITEM)).sort(([a], [b]) => a.localeCompare(b)));

export function savePreset(name, { system, settings }) {
  writePresets(readPresets().set(name, { system, settings }));
}

export function removePreset(name) {
  const presets = readPresets();
  presets.delete(name);
  writePresets(presets);
}

const writePresets = (presets) => localStorage.setItem(PRESETS_ITEM, JSON.stringify(Object.fromEntries(presets)));

/** The object that an item holds; an empty one if there is none or another program has overwritten it. */
function readJson(item) {
  try {
    const value = JSON.parse(localStorage.getItem(item));
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : {};
  } catch {
    return {};
  }
}
