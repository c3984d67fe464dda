// Requests to the server: the API key, JSON, and errors with messages for the user.

import { wordError } from "../error_texts.js";

const KEY_ITEM = "lmcraft-key"; // in the session storage
const MAX_KEEPALIVE_BYTES = 30_000; // browsers let 64 KiB of requests in total outlive their page
const TEMPORARY_STATUSES = [0, 401, 408, 429, 502, 503, 504]; // 0: the server cannot be reached

/** An error whose message is shown to the user. status: of the response; report: the server's error object. */
export class ApiError extends Error {
  constructor(message, status = 0, report = null) {
    super(message);
    Object.assign(this, { status, report });
  }

  /** The error of a report, or of {code} for one of the page itself. */
  static of(report, status = 0) {
    return new ApiError(wordError(report), status, report);
  }

  /** Whether the same request may succeed later. */
  get isTemporary() {
    return TEMPORARY_STATUSES.includes(this.status);
  }

  get isUnauthorized() {
    return this.status === 401;
  }

  get isConflict() {
    return this.status === 409;
  }
}

export const hasKey = () => sessionStorage.getItem(KEY_ITEM) !== null;

/** Asks for another key, on the page loaded anew. */
export function changeKey() {
  sessionStorage.removeItem(KEY_ITEM);
  location.reload();
}

let askForKey = async () => null;
let pendingKey = null;

/** `ask(message)` resolves to a key, or to null if the user enters none. */
export function setKeyPrompt(ask) {
  askForKey = ask;
}

/** Asks for a key, once for all requests that need one. Returns whether there is one now. */
async function obtainKey(message) {
  pendingKey ??= askForKey(message).finally(() => (pendingKey = null));
  const key = await pendingKey;
  if (key) sessionStorage.setItem(KEY_ITEM, key);
  return Boolean(key);
}

/** The response, if the server accepted the request. Throws an ApiError otherwise, and an AbortError if aborted. */
export async function sendRequest(path, options) {
  for (;;) {
    const key = sessionStorage.getItem(KEY_ITEM);
    const headers = {};
    if (typeof options.body === "string") headers["Content-Type"] = "application/json";
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw ApiError.of({ code: "unreachable" });
    }
    if (response.ok) return response;
    const error = await readError(response);
    if (response.status !== 401) throw error;
    const hasNewKey = sessionStorage.getItem(KEY_ITEM) !== key; // another request has obtained one in the meantime
    if (!hasNewKey && !(await obtainKey(key ? error.message : ""))) throw error;
  }
}

async function readError(response) {
  const seconds = Number(response.headers.get("Retry-After")) || 0;
  let report = { code: "status", values: { status: response.status } };
  try {
    const { error } = await response.json();
    if (error.message) report = error;
  } catch {
    // The body is not JSON, for example because a proxy wrote it. Show the status instead.
  }
  return ApiError.of({ ...report, seconds }, response.status);
}

export async function fetchJson(method, path, data) {
  const body = data === undefined ? undefined : JSON.stringify(data);
  const keepalive = body !== undefined && new Blob([body]).size <= MAX_KEEPALIVE_BYTES; // finishes even if the page unloads
  const response = await sendRequest(path, { method, body, keepalive });
  let text;
  try {
    text = await response.text();
  } catch {
    throw new ApiError(wordError({ code: "unreachable" })); // it died while it answered
  }
  return text ? JSON.parse(text) : null;
}
