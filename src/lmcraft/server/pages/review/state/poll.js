// Repeats a request for as long as the page can be seen.

export class Poll {
  /** `load` is called at once, and again `seconds` after it has ended; it does not run in a hidden tab, nor twice at a time. */
  constructor(load, seconds) {
    Object.assign(this, { load, milliseconds: seconds * 1000, isRunning: false, isStopped: false });
    this.listener = () => document.hidden || this.#run();
    document.addEventListener("visibilitychange", this.listener);
  }

  /** Resolves when the first request has been answered. */
  start() {
    return this.#run();
  }

  stop() {
    this.isStopped = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.listener);
  }

  async #run() {
    if (this.isRunning || this.isStopped) return;
    clearTimeout(this.timer);
    this.isRunning = true;
    try {
      await this.load();
    } finally {
      this.isRunning = false;
      if (!document.hidden && !this.isStopped) this.timer = setTimeout(() => this.#run(), this.milliseconds);
    }
  }
}
