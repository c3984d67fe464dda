// The queue of items: claiming, and keeping or giving up a claim.

import { fetchJson } from "../../net/api.js";

const claimUrl = (token) => `/api/review/claims/${encodeURIComponent(token)}`;

/** {item, reason}. Somebody who holds an item gets the same one again. guideline: "" for any; task: "review" or "adjudicate". */
export const claim = (guideline, task) => fetchJson("POST", "/api/review/claims", { ...(guideline && { guideline }), task });

export const renewClaim = (token) => fetchJson("POST", `${claimUrl(token)}/renew`, {});

export const releaseClaim = (token) => fetchJson("DELETE", claimUrl(token));
