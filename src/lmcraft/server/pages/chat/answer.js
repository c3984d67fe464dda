// An answer in progress: its text, tokens and speed.

import { fetchEvents } from "../net/stream.js";

const MIN_RATE_SECONDS = 0.05; // tokens that arrive in a single packet say nothing about the speed
const MAX_DETAILS_BYTES = 1_000_000; // just below the store's limit for the details of a message
const MAX_GROWING_DETAILS_BYTES = 200_000; // of an answer in progress, which is recorded again and again
const ALTERNATIVES_KEPT = [5, 2, 0]; // per token, until the details are small enough

/** The answer to a request of request_builder.js. */
export class Answer {
  /**
   * path, body: the HTTP request. A continuation or a branch also has its starting point: `content`, those of its
   * `tokens` that are known, the `promptIds` before them, and `prefix`, the number of characters before the first token.
   * Thoughts that the server does not report apart stand in the text, between the tags of `thoughtTags`.
   */
  constructor({ path, body, content = "", thoughts = "", thoughtSeconds = 0, thoughtTags = null, tokens = [], promptIds = null, prefix = 0 }) {
    Object.assign(this, { path, body, content, thoughts, thoughtTags, prefix, promptIds, usage: null, finish: null, problem: null, stopped: false });
    this.text = content; // with the thoughts, where the server does not report them apart
    this.earlierThoughtSeconds = thoughtSeconds;
    this.reportedThoughts = thoughts;
    this.#divide();
    this.tokens = [...tokens];
    this.initialTokenCount = tokens.length;
    this.pieceCount = 0; // about as many as tokens, of a server that does not report tokens
    this.initialLength = this.#countCharacters();
    this.abortController = new AbortController();
  }

  stop() {
    this.stopped = true;
    this.abortController.abort();
  }

  /** Generates until the end, an error or a stop. The text so far is kept in all three cases. */
  async run(onChange) {
    this.startTime = performance.now();
    try {
      for await (const event of fetchEvents(this.path, this.body, this.abortController.signal)) {
        this.#append(event);
        onChange();
      }
    } catch (error) {
      if (!this.stopped) this.problem = error.report ?? error.message; // the view words it in the page's language
    }
  }

  #append(event) {
    this.usage = event.usage ?? this.usage;
    const choice = event.choices?.[0];
    this.promptIds ??= event.prompt_token_ids ?? choice?.prompt_token_ids ?? null;
    if (!choice) return;
    const { content, reasoning_content: reasoning, reasoning: vllmReasoning } = choice.delta ?? {};
    const text = (choice.text ?? content ?? "") + (choice.refusal ?? ""); // completions have it beside their text, chats in it
    const thoughts = reasoning ?? vllmReasoning ?? "";
    const tokens = parseTokens(choice);
    if (text || thoughts || tokens.length) {
      this.lastTokenTime = performance.now();
      this.firstTokenTime ??= this.lastTokenTime;
      this.pieceCount += 1;
    }
    const hasTag = tokens.some(({ text: spelling }) => this.thoughtTags?.has(spelling)); // of which text has no trace if it is special
    this.text += hasTag && choice.text !== undefined ? joinTexts(tokens) : text;
    this.reportedThoughts += thoughts;
    this.#divide();
    if (this.thoughts && !this.content) this.lastThoughtTime = this.lastTokenTime;
    this.tokens.push(...tokens);
    this.finish = choice.finish_reason ?? this.finish;
  }

  #divide() {
    if (this.thoughtTags && !this.reportedThoughts) Object.assign(this, this.thoughtTags.divide(this.text));
    else Object.assign(this, { thoughts: this.reportedThoughts, content: this.text });
  }

  #countCharacters() {
    return this.content.length + (this.thoughts ?? "").length;
  }

  /** Whether there is text beyond that of its starting point. */
  get hasGrown() {
    return this.#countCharacters() > this.initialLength;
  }

  /** How long the model has been thinking. */
  get thoughtSeconds() {
    const milliseconds = this.lastThoughtTime ? this.lastThoughtTime - this.firstTokenTime : 0;
    return round(this.earlierThoughtSeconds + milliseconds / 1000);
  }

  /** Tokens of prompt and answer so far, as counted by the server once it has reported its usage. */
  countUsedTokens() {
    if (this.usage) return this.usage.prompt_tokens + this.usage.completion_tokens;
    return (this.promptIds?.length ?? 0) + this.tokens.length;
  }

  /** The most tokens that this answer may have; undefined: as many as fit into the context. */
  get limit() {
    return this.body.max_tokens;
  }

  /** {tokens, first: seconds until the first token, rate: tokens per second, or 0}; null before the first token. */
  timings() {
    if (!this.firstTokenTime) return null;
    const tokens = this.usage?.completion_tokens ?? (this.tokens.length - this.initialTokenCount || this.pieceCount);
    const seconds = (this.lastTokenTime - this.firstTokenTime) / 1000;
    const rate = seconds > MIN_RATE_SECONDS ? round((tokens - 1) / seconds) : 0;
    return { tokens, first: round((this.firstTokenTime - this.startTime) / 1000), rate };
  }

  /** The data that is stored with the answer's text. Until it is complete, an interruption is taken for a stop. */
  details(isGrowing = false) {
    const { model: _, messages: __, prompt: ___, ...settings } = this.body;
    const details = {
      seed: this.body.seed,
      settings,
      thoughts: this.thoughts,
      thoughtSeconds: this.thoughtSeconds,
      tokens: this.tokens,
      prompt_ids: this.promptIds,
      prefix: this.prefix,
      usage: this.usage,
      used: this.countUsedTokens(),
      timings: this.timings(),
      finish: this.stopped || isGrowing ? "stopped" : this.finish,
      problem: this.problem,
    };
    return trimDetails(details, isGrowing ? MAX_GROWING_DETAILS_BYTES : MAX_DETAILS_BYTES);
  }
}

const joinTexts = (tokens) => tokens.map(({ text }) => text).join("");

const round = (value) => Math.round(value * 1e4) / 1e4;

/** The tokens of either endpoint's log-probabilities as {id, text, logprob, alternatives}. */
function parseTokens({ logprobs, token_ids: ids }) {
  if (!logprobs) return [];
  if (logprobs.content) {
    return logprobs.content.map((entry) => ({ ...parseToken(entry), alternatives: entry.top_logprobs.map(parseToken) }));
  }
  return (logprobs.tokens ?? []).map((text, i) => ({
    id: ids[i],
    text,
    logprob: round(logprobs.token_logprobs[i]),
    alternatives: parseAlternatives(logprobs, i, text, ids[i]),
  }));
}

/** A token that is only part of a character, as in Chinese, has its `bytes`, too. */
export function parseToken({ token, token_id: id, logprob, bytes }) {
  const isPart = bytes && token.includes("\ufffd");
  return { id, text: token, logprob: round(logprob), ...(isPart && { bytes }) };
}

/** The completions endpoint names alternatives by text only. Their ids are fetched when one is picked. */
function parseAlternatives({ top_logprobs: top }, i, chosenText, chosenId) {
  const entries = Object.entries(top?.[i] ?? {});
  return entries.map(([text, logprob]) => ({ id: text === chosenText ? chosenId : null, text, logprob: round(logprob) }));
}

/** Drops alternatives, and in the end all tokens, until the details have fewer than `limit` bytes. */
function trimDetails(details, limit) {
  for (const count of ALTERNATIVES_KEPT) {
    const tokens = details.tokens.map((token) => ({ ...token, alternatives: token.alternatives.slice(0, count) }));
    if (countJsonBytes({ ...details, tokens }) < limit) return { ...details, tokens };
  }
  return { ...details, tokens: [], prompt_ids: null };
}

/** Bytes of the JSON with \u escapes, the longest form that a server may count. */
const countJsonBytes = (value) => JSON.stringify(value).replace(/[^\x00-\x7f]/g, "\\uXXXX").length;
