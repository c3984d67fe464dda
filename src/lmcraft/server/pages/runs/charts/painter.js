// Pictures of curves, from a worker or, in a browser whose workers have no canvas, from the page.

import { paint } from "./paint.js";

export class Painter {
  constructor() {
    Object.assign(this, { curves: new Map(), waiting: new Map(), receivers: new Map(), worker: null });
    if (typeof OffscreenCanvas === "undefined") return;
    this.worker = new Worker(new URL("./paint_worker.js", import.meta.url), { type: "module" });
    this.worker.addEventListener("message", ({ data }) => this.#receive(data));
    this.worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#doWithoutWorker();
    });
  }

  /** Curves with the same key are replaced. */
  setCurve(key, curve) {
    this.curves.set(key, curve);
    const { x, low, high, mean, smooth, hasBand } = curve;
    this.worker?.postMessage({ key, curve: { x, low, high, mean, smooth, hasBand } });
  }

  /** The curve of a key is smoothed otherwise. */
  setSmooth(key, smooth) {
    this.worker?.postMessage({ key, smooth });
  }

  forget(keys) {
    for (const key of keys) this.curves.delete(key);
    this.worker?.postMessage({ forget: keys });
  }

  /** `receive({bitmap, view})` gets the picture of a job (see paint.js; `key` in place of `curve`); of jobs that wait, only the last is done. */
  request(chart, job, receive) {
    this.receivers.set(chart, receive);
    if (!this.worker) return this.#paintHere(job, receive);
    if (this.waiting.has(chart)) this.waiting.set(chart, job);
    else this.#send(chart, job);
  }

  stop() {
    this.receivers.clear();
    this.worker?.terminate();
  }

  #send(chart, job) {
    this.waiting.set(chart, null);
    this.worker.postMessage({ job: { ...job, chart } });
  }

  #receive({ chart, view, bitmap }) {
    const next = this.waiting.get(chart);
    this.waiting.delete(chart);
    if (next) this.#send(chart, next);
    this.receivers.get(chart)?.({ view, bitmap });
  }

  #paintHere(job, receive) {
    const bitmap = document.createElement("canvas");
    Object.assign(bitmap, { width: Math.max(1, job.width * job.ratio), height: Math.max(1, job.height * job.ratio) });
    const curves = job.curves.filter(({ key }) => this.curves.has(key)).map((entry) => ({ ...entry, curve: this.curves.get(entry.key) }));
    paint(bitmap.getContext("2d"), { ...job, curves });
    receive({ view: job.view, bitmap });
  }

  #doWithoutWorker() {
    this.worker = null;
    for (const receive of this.receivers.values()) receive(null); // asks again
  }
}
