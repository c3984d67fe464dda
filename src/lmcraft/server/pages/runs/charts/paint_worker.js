// Draws curves away from the page, which stays free to follow the pointer.

import { paint } from "./paint.js";

const curves = new Map(); // key -> curve

self.addEventListener("message", ({ data }) => {
  if (data.forget) for (const key of data.forget) curves.delete(key);
  if (data.curve) curves.set(data.key, data.curve);
  if (data.smooth && curves.has(data.key)) curves.get(data.key).smooth = data.smooth;
  if (data.job) answer(data.job);
});

function answer(job) {
  const canvas = new OffscreenCanvas(Math.max(1, Math.round(job.width * job.ratio)), Math.max(1, Math.round(job.height * job.ratio)));
  const drawn = job.curves.filter(({ key }) => curves.has(key)).map((entry) => ({ ...entry, curve: curves.get(entry.key) }));
  paint(canvas.getContext("2d"), { ...job, curves: drawn });
  const bitmap = canvas.transferToImageBitmap();
  self.postMessage({ chart: job.chart, view: job.view, bitmap }, [bitmap]);
}
