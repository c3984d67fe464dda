// How long somebody has looked at an item, and how long they have worked without a break. Time without any input does not count.

const MAX_READING_MS = 60_000; // without any input, somebody may still read
const MIN_BREAK_MS = 300_000;
const WORK_MS = 45 * 60_000; // until a break is suggested
const SENSITIVE_ITEMS = 25; // until a break is suggested
const MAX_SECONDS = 86_400;
const EVENTS = ["pointermove", "pointerdown", "keydown", "wheel", "scroll", "touchmove"];

export class Attention {
  /** returned(): there is input again, after a pause. */
  constructor(returned) {
    Object.assign(this, { returned, itemMs: 0, workMs: 0, sensitiveItems: 0, last: performance.now() });
    this.stopListening = new AbortController();
    const options = { signal: this.stopListening.signal, capture: true, passive: true };
    for (const name of EVENTS) addEventListener(name, () => this.#note(), options);
    addEventListener("visibilitychange", () => document.hidden || this.#note(), options);
  }

  /** Whether somebody is here. */
  get isPresent() {
    return !document.hidden && performance.now() - this.last < MIN_BREAK_MS;
  }

  /** Another item is shown. */
  startItem(isSensitive) {
    this.#note();
    this.itemMs = 0;
    this.sensitiveItems += isSensitive;
  }

  /** Seconds at the current item. */
  countSeconds() {
    this.#note();
    return Math.min(MAX_SECONDS, Math.round(this.itemMs / 100) / 10);
  }

  /** Why a break would do good now: "time", "sensitive", or "". */
  get breakReason() {
    if (this.sensitiveItems >= SENSITIVE_ITEMS) return "sensitive";
    return this.workMs >= WORK_MS ? "time" : "";
  }

  /** Counts from the beginning until the next suggestion. */
  restart() {
    Object.assign(this, { workMs: 0, sensitiveItems: 0 });
  }

  close() {
    this.stopListening.abort();
  }

  #note() {
    const now = performance.now();
    const gap = now - this.last;
    this.last = now;
    this.itemMs += Math.min(gap, MAX_READING_MS);
    this.workMs += gap;
    if (gap < MIN_BREAK_MS) return;
    this.restart();
    this.returned();
  }
}
