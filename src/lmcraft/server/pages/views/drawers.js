// The sidebar and the settings panel: columns in a wide window, drawers over the page in a narrow one.

import { byId } from "./dom.js";

const NARROW = matchMedia("(max-width: 62rem)"); // the same width as in style/narrow.css

export class Drawers {
  constructor() {
    this.sidebar = byId("sidebar");
    this.panel = byId("panel");
    this.openDrawer = null; // in a narrow window
    byId("open-sidebar").addEventListener("click", () => this.#open(this.sidebar));
    byId("close-sidebar").addEventListener("click", () => this.close());
    byId("open-panel").addEventListener("click", () => this.togglePanel());
    byId("close-panel").addEventListener("click", () => this.togglePanel());
    byId("scrim").addEventListener("click", () => this.close());
    NARROW.addEventListener("change", () => this.close());
  }

  togglePanel() {
    if (NARROW.matches) return this.openDrawer === this.panel ? this.close() : this.#open(this.panel);
    this.#setPanelVisible(this.panel.hidden);
    byId(this.panel.hidden ? "open-panel" : "close-panel").focus();
  }

  showSidebar() {
    if (NARROW.matches) this.#open(this.sidebar);
  }

  /** Closes the open drawer. Returns whether there was one. */
  close() {
    const drawer = this.openDrawer;
    if (!drawer) return false;
    this.openDrawer = null;
    drawer.classList.remove("open");
    if (drawer === this.panel) this.#setPanelVisible(false);
    byId("main").inert = false;
    byId("scrim").hidden = true;
    byId(drawer === this.panel ? "open-panel" : "open-sidebar").focus();
    return true;
  }

  #open(drawer) {
    this.close();
    this.openDrawer = drawer;
    if (drawer === this.panel) this.#setPanelVisible(true);
    drawer.classList.add("open");
    byId("main").inert = true;
    byId("scrim").hidden = false;
    drawer.querySelector("button").focus();
  }

  #setPanelVisible(visible) {
    this.panel.hidden = !visible;
    byId("open-panel").setAttribute("aria-expanded", String(visible));
  }
}
