// From what a run recorded to what is drawn: another x axis, logarithms, smoothing.

import { AXES } from "../state/metrics.js";
import { findFirst } from "../state/search.js";
import { project } from "./scale.js";

const MAX_SMOOTHING_SHARE = 0.15; // of the steps of a curve, over which the strongest smoothing averages

/**
 * {x, low, high, mean, smooth, steps, hasBand} of a series of a run, or null if the run has not recorded what the axis shows.
 *
 * options: {axis, isLogX, isLogY, smoothing}; smoothing from 0 to 1; divisor: what values are divided by.
 */
export function buildCurve(run, series, options, divisor) {
  const { axis, isLogX, isLogY } = options;
  const measure = AXES[axis].series;
  const clock = measure && run.series.get(measure);
  if (measure && !clock) return null;
  const steps = Float64Array.from(series.steps);
  const x = (measure ? interpolate(steps, clock.steps, clock.mean) : steps).map((value) => project(value, isLogX));
  for (let i = 1; i < x.length; i += 1) if (x[i] < x[i - 1]) x[i] = x[i - 1]; // a clock that went back
  const start = x.findIndex((value) => !Number.isNaN(value)); // a logarithmic axis has no place for what comes before
  if (start < 0) return null;
  const draw = (values) => drawValues(values, start, isLogY, divisor);
  const curve = { start, steps: steps.subarray(start), x: x.subarray(start), low: draw(series.low), high: draw(series.high), mean: draw(series.mean) };
  curve.hasBand = curve.low.some((low, index) => low !== curve.high[index] && !Number.isNaN(low));
  curve.smooth = smoothCurve(curve, series, options, divisor);
  return curve;
}

/** The smoothed values of a series whose curve is already there. */
export function smoothCurve({ start, mean }, series, { isLogY, smoothing }, divisor) {
  return smoothing > 0 ? drawValues(smooth(series.steps, series.mean, smoothing), start, isLogY, divisor) : mean;
}

/** Plain loops: there may be a hundred thousand values in a frame. */
function drawValues(values, start, isLogY, divisor) {
  const drawn = new Float64Array(values.length - start);
  for (let i = start; i < values.length; i += 1) drawn[i - start] = values[i] === null ? NaN : project(values[i] / divisor, isLogY);
  return drawn;
}

/** The values at `steps` of a quantity that grows from 0, and that is known at other steps. */
function interpolate(steps, knownSteps, known) {
  let index = 0;
  return steps.map((step) => {
    while (index < knownSteps.length && knownSteps[index] < step) index += 1;
    if (index === knownSteps.length) return known.at(-1);
    const [step0, value0] = index ? [knownSteps[index - 1], known[index - 1]] : [0, 0];
    const share = knownSteps[index] > step0 ? (step - step0) / (knownSteps[index] - step0) : 1;
    return value0 + share * (known[index] - value0);
  });
}

/** The step of a run at which the axis shows `value`. */
export function stepAt(run, axis, value) {
  const measure = AXES[axis].series;
  const clock = measure && run.series.get(measure);
  return clock ? interpolate(Float64Array.of(value), [0, ...clock.mean], [0, ...clock.steps])[0] : value;
}

/** Weighted means of the values around each, with weights that fall exponentially with the distance in steps on both sides: no lag. */
function smooth(steps, values, strength) {
  const length = MAX_SMOOTHING_SHARE * strength ** 2 * Math.max(1, steps[steps.length - 1] - steps[0]);
  const sums = new Float64Array(values.length);
  const weights = new Float64Array(values.length);
  const pass = (from, to, by) => {
    let [sum, weight, last] = [0, 0, steps[from]];
    for (let i = from; i !== to; i += by) {
      if (values[i] === null) continue;
      const decay = Math.exp(-Math.abs(steps[i] - last) / length);
      last = steps[i];
      sum = decay * sum + values[i];
      weight = decay * weight + 1;
      sums[i] += sum;
      weights[i] += weight;
    }
  };
  pass(0, values.length, 1);
  pass(values.length - 1, -1, -1);
  for (let i = 0; i < values.length; i += 1) sums[i] = values[i] === null ? NaN : (sums[i] - values[i]) / (weights[i] - 1); // each counts itself twice
  return sums;
}

/** The index of the point next to `x`, or -1 if the curve ends more than `tolerance` before it or begins after it. */
export function findNearest(xs, x, tolerance) {
  if (!xs.length || x < xs[0] - tolerance || x > xs.at(-1) + tolerance) return -1;
  const index = Math.min(findFirst(xs, x), xs.length - 1);
  return index && x - xs[index - 1] < xs[index] - x ? index - 1 : index;
}
