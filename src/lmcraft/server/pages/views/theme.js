// The theme: light, dark, or the system's ("auto"). index.html loads this module before the first paint.

const THEMES = ["auto", "light", "dark"];
const THEME_ITEM = "lmcraft-theme"; // in the local storage

export function getTheme() {
  const saved = localStorage.getItem(THEME_ITEM);
  return THEMES.includes(saved) ? saved : "auto";
}

export function cycleTheme() {
  const next = THEMES[(THEMES.indexOf(getTheme()) + 1) % THEMES.length];
  localStorage.setItem(THEME_ITEM, next);
  applyTheme();
}

function applyTheme() {
  document.documentElement.dataset.theme = getTheme();
}

applyTheme();
