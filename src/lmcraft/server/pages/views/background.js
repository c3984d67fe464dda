// Work on hostile text in a worker: if something takes too long, the worker is ended and the text stays as it is.

const MAX_SECONDS = 3;
const MAX_STARTING_SECONDS = 20; // until the worker and its libraries are loaded

let worker = null;
let current = null; // the job in progress
let loadedKinds = new Set();
const jobs = []; // {kind, data, resolve}

/** The result of `kind` in worker.js, or null if there is none. */
export function compute(kind, data) {
  return new Promise((resolve) => {
    jobs.push({ kind, data, resolve });
    startNext();
  });
}

function startNext() {
  if (current || !jobs.length) return;
  current = jobs.shift();
  worker ??= startWorker();
  const seconds = loadedKinds.has(current.kind) ? MAX_SECONDS : MAX_STARTING_SECONDS;
  current.timer = setTimeout(() => restart(), seconds * 1000);
  worker.postMessage({ kind: current.kind, data: current.data });
}

function startWorker() {
  const started = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  loadedKinds = new Set();
  started.addEventListener("message", ({ data }) => {
    loadedKinds.add(current.kind);
    finish(data);
  });
  started.addEventListener("error", (event) => {
    event.preventDefault();
    restart();
  });
  return started;
}

function restart() {
  worker.terminate();
  worker = null;
  finish(null);
}

function finish(result) {
  clearTimeout(current.timer);
  const { resolve } = current;
  current = null;
  resolve(result);
  startNext();
}
