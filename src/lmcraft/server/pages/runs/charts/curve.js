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
export function buildCurve(run, series, { axis, isLogX, isLogY, smoothing }, divisor) {
  const measure = AXES[axis].series;
  const clock = measure && run.series.get(measure);
  if (measure && !clock) return null;
  const steps = Float64Array.from(series.steps);
  const x = (measure ? interpolate(steps, clock.steps, clock.mean) : steps).map((value) => project(value, isLogX));
  const start = x.findIndex((value) => !Number.isNaN(value)); // a logarithmic axis has no place for what comes before
  if (start < 0) return null;
  const draw = (values) => Float64Array.from(values, (value) => (value === null ? NaN : project(value / divisor, isLogY)));
  const parts = { low: draw(series.low), high: draw(series.high), mean: draw(series.mean) };
  parts.smooth = smoothing > 0 ? draw(smooth(steps, series.mean, smoothing)) : parts.mean;
  const hasBand = parts.low.some((low, index) => low !== parts.high[index] && !Number.isNaN(low));
  const cut = (array) => (start ? array.subarray(start) : array);
  return { steps: cut(steps), x: cut(x), low: cut(parts.low), high: cut(parts.high), mean: cut(parts.mean), smooth: cut(parts.smooth), hasBand };
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

/** An exponential moving average over steps, which are not equally far apart. */
function smooth(steps, values, strength) {
  const length = MAX_SMOOTHING_SHARE * strength ** 2 * Math.max(1, steps.at(-1) - steps[0]);
  let [sum, weight, last] = [0, 0, steps[0]];
  return values.map((value, index) => {
    if (value === null || Number.isNaN(value)) return value;
    const decay = Math.exp((last - steps[index]) / length);
    last = steps[index];
    sum = decay * sum + value;
    weight = decay * weight + 1;
    return sum / weight;
  });
}

/** The index of the point next to `x`, or -1 if the curve ends more than `tolerance` before it or begins after it. */
export function findNearest(xs, x, tolerance) {
  if (!xs.length || x < xs[0] - tolerance || x > xs.at(-1) + tolerance) return -1;
  const index = Math.min(findFirst(xs, x), xs.length - 1);
  return index && x - xs[index - 1] < xs[index] - x ? index - 1 : index;
}
