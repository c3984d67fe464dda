// Limits how often something is done.

const MIN_INTERVAL_MS = 250;
const MIN_REST = 20; // times as long as the work took

/** Runs an action at most every quarter of a second, and for at most a twentieth of the time. */
export class Pace {
  #nextTime = 0;

  run(action) {
    const start = performance.now();
    if (start < this.#nextTime) return;
    action();
    const end = performance.now();
    this.#nextTime = end + Math.max(MIN_INTERVAL_MS, MIN_REST * (end - start));
  }
}
