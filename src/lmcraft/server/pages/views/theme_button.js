// The button #theme, which goes from one theme to the next.

import { t } from "../strings.js";
import { byId } from "./dom.js";
import { setIcon } from "./icons.js";
import { cycleTheme, getTheme } from "./theme.js";

const THEMES = {
  auto: { icon: "system", label: "themeSystem" },
  light: { icon: "sun", label: "themeLight" },
  dark: { icon: "moon", label: "themeDark" },
};

/** Draws the button in the page's language. */
export function drawThemeButton() {
  const button = byId("theme");
  const { icon, label } = THEMES[getTheme()];
  setIcon(button, icon);
  button.setAttribute("aria-label", t(label));
  button.title = t(label);
  button.onclick = () => {
    cycleTheme();
    drawThemeButton();
  };
}
