// The curves of some runs: read once, then only what is new, and in more detail where somebody looks closer.
//
// A series is {steps, low, high, mean}: arrays of one entry for each bucket of steps, or for each row if there are few.

import { fetchSeries } from "../net/runs.js";
import { findFirst } from "./search.js";

const MAX_REQUESTS = 4; // at a time; browsers have six connections, and one waits for changes
const MAX_POINTS = 2000; // of one curve
const MAX_POINTS_OF_ALL = 60_000; // of one quantity of all runs
const MIN_POINTS = 150;
const DETAIL_SHARE = 0.5; // of the points of a curve: with fewer in sight, more are read

export class Curves {
  /** changed(id): the curves of a run are new or longer. failed(error) */
  constructor(handlers) {
    Object.assign(this, { handlers, runs: new Map(), queue: [], numOpen: 0, abort: new AbortController() });
  }

  /** Reads the curves of these runs. */
  load(ids) {
    this.points = Math.max(MIN_POINTS, Math.min(MAX_POINTS, Math.floor(MAX_POINTS_OF_ALL / Math.max(1, ids.length))));
    for (const id of ids) {
      if (this.runs.has(id)) continue;
      this.runs.set(id, { id, names: [], series: new Map(), revision: null, lastStep: -1, isReading: false, isStale: false, detail: null });
      this.refresh(id);
    }
  }

  /** A run has changed: reads what is new. */
  refresh(id) {
    const run = this.runs.get(id);
    if (!run) return;
    run.isStale = true;
    if (run.isReading) return;
    run.isReading = true;
    this.#enqueue(async () => {
      try {
        while (run.isStale) {
          run.isStale = false;
          await this.#read(run);
        }
      } finally {
        run.isReading = false;
      }
    });
  }

  /** Reads more points of the steps in sight, if few of those that are known lie there. */
  look(id, from, to) {
    const run = this.runs.get(id);
    const { detail } = run;
    if (!run.series.size || (detail && from >= detail.from && to <= detail.to && to - from > DETAIL_SHARE * (detail.to - detail.from))) return;
    const isCoarse = [...run.series.values()].some((series) => series.isCoarse && countBetween(series.steps, from, to) < DETAIL_SHARE * this.points);
    if (!isCoarse) return;
    const margin = Math.ceil((to - from) / 2);
    run.detail = { from: Math.max(0, Math.floor(from) - margin), to: Math.ceil(to) + margin };
    this.#enqueue(() => this.#readDetail(run, run.detail));
  }

  stop() {
    this.queue = [];
    this.abort.abort();
  }

  async #read(run) {
    const isKnown = run.revision !== null && run.lastStep >= 0;
    const fields = isKnown ? { points: this.points, after_step: run.lastStep, revision: run.revision } : { points: this.points };
    const answer = await fetchSeries(run.id, fields, this.abort.signal);
    const isAnew = !isKnown || answer.revision !== run.revision; // a resumed run does some steps again: the answer holds all
    if (isAnew) run.detail = null;
    Object.assign(run, { names: answer.names, revision: answer.revision, lastStep: answer.last_step ?? run.lastStep });
    if (isAnew) run.series = new Map(Object.entries(answer.series).map(([name, series]) => [name, this.#adopt(series)]));
    else for (const [name, series] of Object.entries(answer.series)) run.series.set(name, append(run.series.get(name), this.#adopt(series), this.points));
    if ([...run.series.values()].some(({ steps }) => steps.length > 2 * this.points)) run.revision = null; // the next time all is read in fewer points
    this.handlers.changed(run.id);
  }

  async #readDetail(run, detail) {
    const { revision } = run;
    const answer = await fetchSeries(run.id, { points: this.points, from: detail.from, to: detail.to }, this.abort.signal);
    if (answer.revision !== revision || run.detail !== detail) return; // looked elsewhere in the meantime
    for (const [name, series] of Object.entries(answer.series)) run.series.set(name, insert(run.series.get(name), series, detail));
    this.handlers.changed(run.id);
  }

  #adopt(series) {
    return { ...series, isCoarse: series.steps.length >= this.points || series.low.some((low, index) => low !== series.high[index]) };
  }

  #enqueue(work) {
    this.queue.push(work);
    this.#next();
  }

  async #next() {
    if (this.numOpen >= MAX_REQUESTS || !this.queue.length) return;
    this.numOpen += 1;
    const work = this.queue.shift();
    try {
      await work();
    } catch (error) {
      if (error.name !== "AbortError") this.handlers.failed(error);
    } finally {
      this.numOpen -= 1;
      this.#next();
    }
  }
}

const PARTS = ["steps", "low", "high", "mean"];

function append(series, more) {
  if (!series) return more;
  const start = findFirst(more.steps, series.steps.at(-1) + 1);
  const parts = PARTS.map((part) => [part, [...series[part], ...more[part].slice(start)]]);
  return { ...Object.fromEntries(parts), isCoarse: series.isCoarse || more.isCoarse };
}

/** The series with the points between two steps replaced. */
function insert(series, more, { from, to }) {
  if (!series || !more.steps.length) return series;
  const [start, end] = [findFirst(series.steps, from), findFirst(series.steps, to + 1)];
  const parts = PARTS.map((part) => [part, [...series[part].slice(0, start), ...more[part], ...series[part].slice(end)]]);
  return { ...Object.fromEntries(parts), isCoarse: series.isCoarse };
}

const countBetween = (steps, from, to) => findFirst(steps, to + 1) - findFirst(steps, from);
