// /api/runs: the list of runs, their curves, samples and settings, and what stops and resumes them.

import { fetchJson, sendRequest } from "../../net/api.js";

const SAMPLES_PER_PAGE = 10;

const buildUrl = (id, part) => `/api/runs/${encodeURIComponent(id)}/${part}`;

/** {runs, removed, complete, cursor, folder, truncated}: all runs (`complete`), or those that changed since the answer with `cursor`; waits for a change. */
export async function fetchRuns(cursor, signal) {
  const query = cursor === null ? "" : `?${new URLSearchParams({ after: cursor })}`;
  return (await sendRequest(`/api/runs${query}`, { method: "GET", signal })).json();
}

/** {names, revision, last_step, series}: see state/curves.js. fields: {names, points, from, to, after_step, revision}, each optional. */
export async function fetchSeries(id, fields, signal) {
  const query = new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined));
  return (await sendRequest(`${buildUrl(id, "series")}?${query}`, { method: "GET", signal })).json();
}

/** {samples: [{step, text}], before}: the newest samples, or those before a page's `before`. */
export function fetchSamples(id, before = null) {
  const query = new URLSearchParams({ limit: SAMPLES_PER_PAGE, ...(before === null ? {} : { before }) });
  return fetchJson("GET", `${buildUrl(id, "samples")}?${query}`);
}

/** The settings of a run by their dotted names. */
export const fetchSettings = async (id) => (await fetchJson("GET", buildUrl(id, "config"))).settings;

/** [{name, values: {id: value}, differs}]: the settings of several runs. */
export const compareSettings = async (ids) => (await fetchJson("POST", "/api/runs/compare", { ids })).settings;

export const stopRun = (id) => fetchJson("POST", buildUrl(id, "stop"));

export const resumeRun = (id) => fetchJson("POST", buildUrl(id, "resume"));
