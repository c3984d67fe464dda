// Keeps the end in sight while it is written, unless the person scrolled up to read.

import { byId } from "./dom.js";

const NEAR = 80; // pixels from the end that still count as the end
const FRAMES = 4; // messages off screen have guessed heights: the end moves as the first ones become real

export class Scroller {
  constructor() {
    this.box = byId("scroll");
    this.button = byId("to-end");
    this.pinned = true;
    this.box.addEventListener("scroll", () => this.#moved(), { passive: true });
    this.button.addEventListener("click", () => this.toEnd());
    new ResizeObserver(() => this.follow()).observe(this.box);
  }

  toEnd(frames = FRAMES) {
    this.pinned = true;
    this.#jump();
    if (frames > 0) requestAnimationFrame(() => this.pinned && this.toEnd(frames - 1));
  }

  follow() {
    if (this.pinned) this.#jump();
  }

  #jump() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  #moved() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    this.pinned = scrollHeight - scrollTop - clientHeight < NEAR;
    this.button.hidden = this.pinned;
  }
}
