// /api/review for adjudicators and owners: items, agreement, guidelines, calibration rounds, settings.

import { fetchJson } from "../../net/api.js";

const PAGE_SIZE = 200; // rows of a list
const TOUCHED_PAGE_SIZE = 50;

const buildUrl = (...segments) => `/api/review/${segments.map(encodeURIComponent).join("/")}`;

/** {data, next}: a page of items by priority. filters: {state, guideline, source, search}; after: `next` of the page before. */
export function fetchItems(filters, after = "", limit = PAGE_SIZE) {
  const query = new URLSearchParams({ ...filters, limit, after });
  return fetchJson("GET", `${buildUrl("items")}?${query}`);
}

/** Everything about an item. */
export const fetchItem = (id) => fetchJson("GET", buildUrl("items", id));

/** The number of items in each state. */
export const fetchCounts = (guideline) => fetchJson("GET", `${buildUrl("counts")}?${new URLSearchParams({ guideline })}`);

export const releaseItem = (id) => fetchJson("POST", buildUrl("items", id, "release"));

export const requeueItem = (id, comment) => fetchJson("POST", buildUrl("items", id, "requeue"), { comment });

export const fetchAgreement = (guideline) => fetchJson("GET", `${buildUrl("agreement")}?${new URLSearchParams({ guideline })}`);

/** texts: {en, zh}; {version, changed_rules, touched}. With `check` nothing is saved. */
export const sendGuideline = (text, check) => fetchJson("POST", buildUrl("guidelines"), check ? { text, check } : { text });

/** {data, next, total}: verdicts that cite what has changed since. */
export function fetchTouched(name, after = 0) {
  return fetchJson("GET", `${buildUrl("guidelines", name, "touched")}?${new URLSearchParams({ after, limit: TOUCHED_PAGE_SIZE })}`);
}

export const fetchRounds = async () => (await fetchJson("GET", buildUrl("rounds"))).data;

export const fetchRound = (id) => fetchJson("GET", buildUrl("rounds", id));

export const openRound = (name, guideline, count) => fetchJson("POST", buildUrl("rounds"), { name, guideline, count });

export const revealRound = (id) => fetchJson("POST", buildUrl("rounds", id, "reveal"));

export const sendComment = (round, item, comment) => fetchJson("POST", buildUrl("rounds", round, "items", item, "comments"), comment);

export const fetchSettings = () => fetchJson("GET", buildUrl("settings"));

export const saveSettings = (settings) => fetchJson("PUT", buildUrl("settings"), settings);

/** {seq, hash}: the last row of the audit log. */
export const fetchAuditHead = () => fetchJson("GET", buildUrl("audit", "head"));
