// Scales and their ticks. A scale works on numbers as they are drawn: the logarithm of a value where the scale is logarithmic.

const MIN_TICK_PIXELS = { x: 84, y: 34 };

/** A value as it is drawn: NaN if a logarithmic scale cannot show it. */
export const project = (value, isLog) => (isLog ? (value > 0 ? Math.log10(value) : NaN) : value);

export const unproject = (drawn, isLog) => (isLog ? 10 ** drawn : drawn);

/** [[drawn, value], ...] between two drawn numbers; `direction` is "x" or "y", `pixels` how long the axis is. */
export function findTicks(low, high, isLog, pixels, direction) {
  const count = Math.max(2, Math.floor(pixels / MIN_TICK_PIXELS[direction]));
  if (!(high > low)) return [];
  if (isLog && high - low > 1) return logTicks(low, high, count);
  if (!isLog) return evenTicks(low, high, count).map((value) => [value, value]);
  return evenTicks(10 ** low, 10 ** high, count).map((value) => [Math.log10(value), value]); // less than a decade
}

function evenTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => (first + index) * step);
}

function logTicks(low, high, count) {
  const stride = Math.ceil((high - low) / count);
  const factors = high - low < count / 3 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(low); power <= high; power += stride) {
    for (const factor of factors) {
      const drawn = power + Math.log10(factor);
      if (drawn >= low && drawn <= high) ticks.push([drawn, factor * 10 ** power]);
    }
  }
  return ticks;
}
