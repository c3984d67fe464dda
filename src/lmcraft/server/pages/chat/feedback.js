// What the user said about answers: read from the server, undone, downloaded as training data; and reports to its reviewers.

import { fetchJson, sendRequest } from "../net/api.js";

const PAGE_SIZE = 50;

/** {good, bad, picks, edits, models: [{first, second, picked_first, picked_second, share, low, high}]}. */
export const fetchSummary = () => fetchJson("GET", "/api/feedback/summary");

/** {data, has_more}: items of one kind ("" for all kinds), newest first. */
export function fetchFeedback(kind, offset) {
  return fetchJson("GET", `/api/feedback?${new URLSearchParams({ kind, offset, limit: PAGE_SIZE })}`);
}

/** Takes back a rating or a pick. An edit is a version of the answer, and stays one. */
export function undo({ kind, id }) {
  if (kind === "rating") return fetchJson("PUT", `/api/messages/${encodeURIComponent(id)}/rating`, { rating: 0, reason: "" });
  return fetchJson("DELETE", `/api/preferences/${encodeURIComponent(id)}`);
}

/** report: {conversation, message, reason, comment}. */
export const sendReport = (report) => fetchJson("POST", "/api/reports", report);

/** A file for `lmcraft finetune`, as a Blob. */
export async function fetchTrainingFile(name) {
  return (await sendRequest(`/api/feedback/files/${name}`, { method: "GET" })).blob();
}

/** The training files that this much feedback fills, each with its command. */
export function listTrainingFiles({ good, picks, edits }, model) {
  const name = quote(model);
  const out = quote(`models/${model.split("/").at(-1)}-feedback`);
  const serve = `lmcraft serve ${name} --adapters.feedback ${out}`;
  return [
    picks + edits > 0 && { name: "preferences.jsonl", commands: [`lmcraft finetune ${name} preferences.jsonl --objective dpo --out ${out}`, serve] },
    good + edits > 0 && { name: "sft.jsonl", commands: [`lmcraft finetune ${name} sft.jsonl --out ${out}`, serve] },
  ].filter(Boolean);
}

/** For a shell. */
const quote = (text) => (/^[\w./:@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
