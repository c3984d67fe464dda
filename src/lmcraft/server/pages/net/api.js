// The server: requests with the API key, errors worth showing, and streams of server-sent events.

import { t } from "../strings.js";

const KEY = "lmcraft-key";
const MOST_KEPT_ALIVE = 30_000; // bytes: a browser lets requests of 64 KiB in all outlive their page

/** What went wrong, worded for people. */
export class Problem extends Error {
  constructor(message, status = 0, retryAfter = 0) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

let askForKey = async () => null;
let asking = null;

/** `ask(message)` resolves to a key, or to null where the person gives none. */
export function onKeyNeeded(ask) {
  askForKey = ask;
}

/** Asks for a key, once for all requests that wait for it; false if none was given. */
export async function demandKey(message = "") {
  asking ??= askForKey(message).finally(() => (asking = null));
  const given = await asking;
  if (given) sessionStorage.setItem(KEY, given);
  return Boolean(given);
}

export const hasKey = () => Boolean(sessionStorage.getItem(KEY));

async function send(path, options) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = {};
    if (options.body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers.Authorization = `Bearer ${key}`;
    let response;
    try {
      response = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(t("unreachable"));
    }
    if (response.ok) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    const changed = sessionStorage.getItem(KEY) !== key; // another request got one meanwhile
    if (!changed && !(await demandKey(key ? problem.message : ""))) throw problem;
  }
}

async function problemOf(response) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  let message = `${response.status} ${response.statusText}`.trim();
  try {
    const { error } = await response.json();
    message = error.message || message;
  } catch {
    // not JSON: a proxy's page, say; the status has to do
  }
  if (wait) message += ` ${t("retryAfter", { seconds: wait })}`;
  return new Problem(message, response.status, wait);
}

export async function request(method, path, body) {
  const sent = body === undefined ? undefined : JSON.stringify(body);
  const keepalive = sent !== undefined && new Blob([sent]).size <= MOST_KEPT_ALIVE; // also when the page is left at once
  const response = await send(path, { method, body: sent, keepalive });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/** The events of a streamed answer. Our server writes one `data:` line per event and ends with `[DONE]`. */
export async function* stream(path, body, signal) {
  const response = await send(path, { method: "POST", body: JSON.stringify(body), signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data:")) continue;
        const data = line.slice(5).trim();
        if (data === "[DONE]") return;
        const event = JSON.parse(data);
        if (event.error) throw new Problem(event.error.message);
        yield event;
      }
    }
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Problem) throw error;
    throw new Problem(t("cutOff"));
  } finally {
    reader.cancel().catch(() => {});
  }
  throw new Problem(t("cutOff"));
}
