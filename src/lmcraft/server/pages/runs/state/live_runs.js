// The runs of the server, kept up to date for as long as the page is open.

import { fetchRuns } from "../net/runs.js";

const MIN_SECONDS_BETWEEN = 0.25; // a server that does not wait for changes is not asked more often
const RETRY_SECONDS = [1, 2, 4, 8]; // after 1, 2, ... failures in a row

const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

export class LiveRuns {
  /** handlers: {changed(ids), connected(isConnected)}: runs are new, changed or gone; the server can be reached or not. */
  constructor(handlers) {
    Object.assign(this, { handlers, runs: new Map(), folder: "", isTruncated: false, cursor: null, isConnected: true, failures: 0 });
    this.wake = () => {};
    for (const [target, name] of [[window, "online"], [document, "visibilitychange"]]) target.addEventListener(name, () => this.wake());
  }

  /** Resolves when the runs have been read; throws an ApiError if they cannot be. */
  async start() {
    this.#take(await fetchRuns(null));
    this.#follow();
  }

  async #follow() {
    for (;;) {
      const begin = performance.now();
      try {
        this.#take(await fetchRuns(this.cursor));
        this.#setConnected(true);
      } catch {
        this.#setConnected(false);
        await this.#pause(RETRY_SECONDS[Math.min(this.failures++, RETRY_SECONDS.length - 1)]);
        continue;
      }
      this.failures = 0;
      await sleep(Math.max(0, MIN_SECONDS_BETWEEN - (performance.now() - begin) / 1000));
    }
  }

  /** Ends early when the network is back, or somebody looks at the page. */
  #pause(seconds) {
    return Promise.race([sleep(seconds), new Promise((resolve) => (this.wake = resolve))]);
  }

  #take({ runs, removed = [], cursor, folder = "", complete, truncated = false }) {
    const ids = new Set(runs.map(({ id }) => id));
    const gone = complete ? [...this.runs.keys()].filter((id) => !ids.has(id)) : removed;
    for (const id of gone) this.runs.delete(id);
    for (const run of runs) this.runs.set(run.id, run);
    Object.assign(this, { cursor, folder, isTruncated: truncated });
    if (ids.size || gone.length) this.handlers.changed(new Set([...ids, ...gone]));
  }

  #setConnected(isConnected) {
    if (isConnected === this.isConnected) return;
    this.isConnected = isConnected;
    this.handlers.connected(isConnected);
  }
}
