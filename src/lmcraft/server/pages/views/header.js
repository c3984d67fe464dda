// The top of the page: the title and which model answers; and the buttons for theme and language.

import { byId, el, setIcon } from "./dom.js";
import { nameOf } from "../chat/models.js";
import { switchLanguage, t, wordPage } from "../strings.js";
import { nextTheme, theme } from "./theme.js";

const THEME_ICONS = { auto: "auto", light: "sun", dark: "moon" };

export class Header {
  /** does: {choose(model id), worded(): after a change of the language}. */
  constructor(does) {
    this.model = byId("model");
    this.model.addEventListener("change", () => does.choose(this.model.value));
    byId("theme").addEventListener("click", () => {
      nextTheme();
      this.#drawTheme();
    });
    byId("language").addEventListener("click", () => {
      switchLanguage();
      this.word();
      does.worded();
    });
  }

  /** Words all that stands in index.html. */
  word() {
    wordPage();
    this.#drawTheme();
  }

  showModels(models) {
    const options = [...models.values()].map((model) => el("option", { value: model.id }, nameOf(model)));
    this.model.replaceChildren(...options);
    this.model.disabled = !options.length;
  }

  show({ title, model }) {
    byId("title").textContent = title || t("untitled");
    document.title = title ? `${title} · lmcraft` : "lmcraft";
    this.model.value = model;
  }

  #drawTheme() {
    const button = byId("theme");
    const label = t(`theme${theme()}`);
    setIcon(button, THEME_ICONS[theme()]);
    button.setAttribute("aria-label", label);
    button.title = label;
  }
}

export function drawIcons() {
  for (const button of document.querySelectorAll("button[data-icon]")) setIcon(button, button.dataset.icon);
}
