// Numbers with their units, in the page's language.

import { formatNumber, getLanguage, t } from "../strings.js";

const NOTHING = "–";
const SIGNIFICANT_DIGITS = 4;
const COMPACT_FROM = 100_000;
const EXPONENT_FROM = 1e15;
const EXPONENT_BELOW = 1e-3;
const TIMES = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const UNITS = { gibibytes: "{n} GiB", wattHours: "{n} Wh", percent: "{n}%" };

const formats = {}; // building one takes longer than formatting with it

function formatWith(key, options, value) {
  const language = getLanguage();
  formats[`${language} ${key}`] ??= new Intl.NumberFormat(language, options);
  return formats[`${language} ${key}`].format(value);
}

const isMissing = (value) => value === null || value === undefined || Number.isNaN(value);

/** "1,234", "1.2M", "3.142" or "2.5e-5": as many digits as say something. */
export function formatFigure(value, digits = SIGNIFICANT_DIGITS) {
  if (isMissing(value)) return NOTHING;
  const size = Math.abs(value);
  if (size >= EXPONENT_FROM || (size > 0 && size < EXPONENT_BELOW)) return Number(value.toPrecision(digits)).toExponential();
  if (size >= COMPACT_FROM) return formatWith(`compact ${digits}`, { notation: "compact", maximumSignificantDigits: digits }, value);
  const shown = Math.max(digits, Math.ceil(Math.log10(size + 1))); // no digit before the point is dropped
  return formatWith(`figure ${shown}`, { maximumSignificantDigits: shown }, value);
}

const fillUnit = (unit, n) => (unit === "tokensPerSecond" ? t("speedValue", { n }) : (UNITS[unit] ?? "{n}").replace("{n}", n));

/** A figure with its unit: "3.21", "1,234 tokens/s". */
export const formatValue = (value, unit) => (isMissing(value) ? NOTHING : fillUnit(unit, formatFigure(value)));

/** The unit alone, for an axis: "tokens/s". */
export const nameUnit = (unit) => (unit === "perToken" ? t("nats") : fillUnit(unit, "").trim());

export const formatLoss = (loss) => (isMissing(loss) ? NOTHING : formatNumber(loss, loss < 100 ? 3 : 0));

export const formatSpeed = (speed) => (isMissing(speed) ? NOTHING : t("speedValue", { n: formatFigure(speed, 3) }));

export const formatBytes = (bytes) => (isMissing(bytes) ? NOTHING : `${formatFigure(bytes / 2 ** 30, 3)} GiB`);

/** "12.3 Wh" or "1.2 kWh". */
export function formatEnergy(joules) {
  if (isMissing(joules)) return NOTHING;
  const wattHours = joules / 3600;
  return wattHours >= 1000 ? `${formatFigure(wattHours / 1000, 3)} kWh` : `${formatFigure(wattHours, 3)} Wh`;
}

const METHODS = { __proto__: null, nvml: "NVML", rapl: "RAPL", "cpu time": "methodCpuTime", flops: "methodFlops" };

/** How energy was measured: "NVML + CPU time". */
export function nameMethod(method) {
  const words = (method ?? "").split(" + ").map((part) => (METHODS[part]?.startsWith("method") ? t(METHODS[part]) : (METHODS[part] ?? part)));
  return words.join(" + ");
}

export const formatGrams = (grams) => (grams >= 1000 ? `${formatFigure(grams / 1000, 3)} kg CO₂e` : `${formatFigure(grams, 3)} g CO₂e`);

/** "2 h 5 min": the two largest units. */
export function formatDuration(seconds) {
  if (isMissing(seconds)) return NOTHING;
  if (seconds < 1) return formatTime("second", 0);
  const rounded = seconds < 60 ? Math.round(seconds) : 60 * Math.round(seconds / 60);
  const first = Math.max(0, TIMES.findIndex(([, length]) => rounded >= length));
  const [unit, length] = TIMES[first];
  const next = TIMES[first + 1];
  const rest = next ? Math.floor((rounded % length) / next[1]) : 0;
  return [formatTime(unit, Math.floor(rounded / length)), ...(rest ? [formatTime(next[0], rest)] : [])].join(" ");
}

const formatTime = (unit, value) => formatWith(unit, { style: "unit", unit, unitDisplay: "short" }, value);

/** The x axis: {divisor, unit}, so that hours are not shown as thousands of seconds. `max`: the largest value. */
export function chooseUnit(axis, max) {
  if (axis === "time") {
    const [unit, divisor] = TIMES.find(([, length]) => max >= 2 * length) ?? TIMES.at(-1);
    return { divisor, unit: t(`${unit}s`) };
  }
  if (axis === "energy") return max >= 3.6e6 ? { divisor: 3.6e6, unit: "kWh" } : { divisor: 3600, unit: "Wh" };
  return { divisor: 1, unit: "" };
}

/** An x value, without what the axis is called: "1,200", "2 h 5 min", "12.3 Wh". */
export function formatX(axis, value) {
  if (axis === "time") return formatDuration(value);
  if (axis === "energy") return formatEnergy(value);
  return formatFigure(value, axis === "step" ? 7 : SIGNIFICANT_DIGITS);
}
