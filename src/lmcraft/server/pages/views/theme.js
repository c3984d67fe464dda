// Light, dark, or as the system says.

const THEMES = ["auto", "light", "dark"];
const KEY = "lmcraft-theme";

export function theme() {
  const kept = localStorage.getItem(KEY);
  return THEMES.includes(kept) ? kept : "auto";
}

export function nextTheme() {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
  localStorage.setItem(KEY, next);
  apply();
  return next;
}

function apply() {
  document.documentElement.dataset.theme = theme();
}

apply();
