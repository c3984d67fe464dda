// The sidebar and the settings: columns of a wide window, drawers over a narrow one.

import { byId } from "./dom.js";

const NARROW = matchMedia("(max-width: 62rem)"); // narrow.css has the same width

export class Drawers {
  constructor() {
    this.sidebar = byId("sidebar");
    this.panel = byId("panel");
    this.open = null; // the drawer that lies over the page
    byId("open-sidebar").addEventListener("click", () => this.#cover(this.sidebar));
    byId("close-sidebar").addEventListener("click", () => this.close());
    byId("open-panel").addEventListener("click", () => this.togglePanel());
    byId("close-panel").addEventListener("click", () => this.togglePanel());
    byId("scrim").addEventListener("click", () => this.close());
    NARROW.addEventListener("change", () => this.close());
  }

  togglePanel() {
    if (NARROW.matches) return this.open === this.panel ? this.close() : this.#cover(this.panel);
    this.#showPanel(this.panel.hidden);
    if (!this.panel.hidden) byId("close-panel").focus();
    else byId("open-panel").focus();
  }

  showSidebar() {
    if (NARROW.matches) this.#cover(this.sidebar);
  }

  /** Closes what lies over the page; says whether anything did. */
  close() {
    const drawer = this.open;
    if (!drawer) return false;
    this.open = null;
    drawer.classList.remove("open");
    if (drawer === this.panel) this.#showPanel(false);
    byId("main").inert = false;
    byId("scrim").hidden = true;
    byId(drawer === this.panel ? "open-panel" : "open-sidebar").focus();
    return true;
  }

  #cover(drawer) {
    this.close();
    this.open = drawer;
    if (drawer === this.panel) this.#showPanel(true);
    drawer.classList.add("open");
    byId("main").inert = true;
    byId("scrim").hidden = false;
    drawer.querySelector("button").focus();
  }

  #showPanel(shown) {
    this.panel.hidden = !shown;
    byId("open-panel").setAttribute("aria-expanded", String(shown));
  }
}
