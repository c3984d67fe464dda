// Follows the end of the conversation while an answer grows, unless the user has scrolled up.

import { byId } from "./dom.js";

const END_DISTANCE_PX = 80; // positions this close to the end count as the end
const SETTLE_FRAMES = 4; // heights of messages off screen are estimates until they are drawn, which moves the end

export class Scroller {
  constructor() {
    this.box = byId("scroll");
    this.button = byId("to-end");
    this.isAtEnd = true;
    this.box.addEventListener("scroll", () => this.#updatePosition(), { passive: true });
    this.button.addEventListener("click", () => this.scrollToEnd());
    new ResizeObserver(() => this.follow()).observe(this.box);
  }

  scrollToEnd(frames = SETTLE_FRAMES) {
    this.isAtEnd = true;
    this.#jump();
    if (frames > 0) requestAnimationFrame(() => this.isAtEnd && this.scrollToEnd(frames - 1));
  }

  follow() {
    if (this.isAtEnd) this.#jump();
  }

  #jump() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  #updatePosition() {
    const { scrollTop, scrollHeight, clientHeight } = this.box;
    this.isAtEnd = scrollHeight - scrollTop - clientHeight < END_DISTANCE_PX;
    this.button.hidden = this.isAtEnd;
  }
}
