// Points in time, as people say them.

import { formatDateTime, getLanguage } from "../strings.js";
import { el } from "./dom.js";

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const MAX_DAYS = 30; // after which a date says more

/** Seconds since 1970 of a time that the server wrote as such, or as text. */
export const toSeconds = (time) => (typeof time === "string" ? Date.parse(time) / 1000 : time);

/** When something happened, with the date and the time as the tooltip. */
export function buildTime(time) {
  const seconds = toSeconds(time);
  return el("time", { datetime: new Date(seconds * 1000).toISOString(), title: formatDateTime(seconds) }, formatAge(seconds));
}

/** How long ago: "3 hours ago", or the date. */
export function formatAge(seconds) {
  const age = Date.now() / 1000 - seconds;
  const [unit, length] = UNITS.find(([, length]) => age >= length) ?? ["minute", 60];
  const language = getLanguage();
  formats[language] ??= { date: new Intl.DateTimeFormat(language, { dateStyle: "medium" }), age: new Intl.RelativeTimeFormat(language, { numeric: "auto" }) };
  const { date, age: ago } = formats[language];
  return age > MAX_DAYS * 86400 ? date.format(seconds * 1000) : ago.format(-Math.floor(Math.max(0, age) / length), unit);
}

const formats = {}; // building them takes longer than formatting with them
