// The top of the page (title and model), and the buttons for theme and language.

import { formatModelName } from "../chat/models.js";
import { t, toggleLanguage, translatePage } from "../strings.js";
import { byId, el } from "./dom.js";
import { drawThemeButton } from "./theme_button.js";

export class Header {
  /** handlers: {selectModel(id), languageChanged()}. */
  constructor(handlers) {
    this.model = byId("model");
    this.model.addEventListener("change", () => handlers.selectModel(this.model.value));
    byId("language").addEventListener("click", () => {
      toggleLanguage();
      this.translate();
      handlers.languageChanged();
    });
  }

  /** Translates index.html. */
  translate() {
    translatePage();
    drawThemeButton();
  }

  showModels(models) {
    const options = [...models.values()].map((model) => el("option", { value: model.id }, formatModelName(model)));
    this.model.replaceChildren(...options);
  }

  show({ title, model }) {
    byId("title").textContent = title || t("newChat");
    document.title = title ? `${title} · lmcraft` : "lmcraft";
    this.model.value = model;
    this.model.disabled = !this.model.length;
  }
}
