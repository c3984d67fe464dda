// One answer while it is written: its text, its tokens, and how fast they came.

import { stream } from "../net/api.js";

const SHORTEST = 0.05; // seconds; tokens that come in one packet say nothing of the speed
const MOST_DETAILS = 1_000_000; // bytes of a message's details that the store takes, less some room
const MOST_LEAVING = 10_000; // and of one that is sent by a page that is being left

/**
 * plan: {path, body} of the request, and what a branch starts from: `content` and `tokens` that are kept, the
 * `promptIds` before them, and `prefix`: how many characters stand before the first token that we know.
 */
export class Answer {
  constructor({ path, body, content = "", tokens = [], promptIds = null, prefix = 0 }) {
    Object.assign(this, { path, body, content, prefix, promptIds, usage: null, finish: null, problem: null, stopped: false });
    this.tokens = [...tokens];
    this.kept = tokens.length;
    this.mostDetails = MOST_DETAILS;
    this.controller = new AbortController();
  }

  stop() {
    this.stopped = true;
    this.controller.abort();
  }

  /** Stops since the page is being left. */
  leave() {
    this.mostDetails = MOST_LEAVING;
    this.stop();
  }

  /** Runs to the end, to an error or to a stop; what arrived stays in any case. */
  async run(onChange) {
    this.began = performance.now();
    try {
      for await (const event of stream(this.path, this.body, this.controller.signal)) {
        this.#take(event);
        onChange();
      }
    } catch (error) {
      if (!this.stopped) this.problem = error.message;
    }
  }

  #take(event) {
    this.usage = event.usage ?? this.usage;
    const choice = event.choices?.[0];
    this.promptIds ??= event.prompt_token_ids ?? choice?.prompt_token_ids ?? null;
    if (!choice) return;
    const text = choice.text ?? choice.delta?.content ?? "";
    const tokens = tokensOf(choice);
    if (text || tokens.length) {
      this.last = performance.now();
      this.first ??= this.last;
    }
    this.content += text;
    this.tokens.push(...tokens);
    this.finish = choice.finish_reason ?? this.finish;
  }

  /** Tokens of prompt and answer so far: the server's count once it is there. */
  used() {
    if (this.usage) return this.usage.prompt_tokens + this.usage.completion_tokens;
    return (this.promptIds?.length ?? 0) + this.tokens.length;
  }

  timings() {
    if (!this.first) return null;
    const tokens = this.usage?.completion_tokens ?? this.tokens.length - this.kept;
    const seconds = (this.last - this.first) / 1000;
    return { tokens, first: round((this.first - this.began) / 1000), rate: seconds > SHORTEST ? round((tokens - 1) / seconds) : 0 };
  }

  /** What the store keeps of an answer beside its text. */
  details() {
    const { model: _, messages: __, prompt: ___, ...settings } = this.body;
    const details = {
      seed: this.body.seed,
      settings,
      tokens: this.tokens,
      prompt_ids: this.promptIds,
      prefix: this.prefix,
      usage: this.usage,
      used: this.used(),
      timings: this.timings(),
      finish: this.stopped ? "stopped" : this.finish,
      problem: this.problem,
    };
    return fitted(details, this.mostDetails);
  }
}

const round = (value) => Math.round(value * 1e4) / 1e4;

/** Entries of either endpoint as {id, text, logprob, alternatives}. */
function tokensOf({ logprobs, token_ids: ids }) {
  if (!logprobs) return [];
  if (logprobs.content) {
    return logprobs.content.map((entry) => ({ ...tokenOf(entry), alternatives: entry.top_logprobs.map(tokenOf) }));
  }
  return (logprobs.tokens ?? []).map((text, i) => ({
    id: ids[i],
    text,
    logprob: round(logprobs.token_logprobs[i]),
    alternatives: completionAlternatives(logprobs, i, text, ids[i]),
  }));
}

const tokenOf = ({ token, token_id, logprob }) => ({ id: token_id, text: token, logprob: round(logprob) });

/** OpenAI's old form names alternatives by their text alone; their ids are looked up when one is picked. */
function completionAlternatives({ top_logprobs: top }, i, chosen, id) {
  return Object.entries(top?.[i] ?? {}).map(([text, logprob]) => ({ id: text === chosen ? id : null, text, logprob: round(logprob) }));
}

/** Fewer alternatives, and at last no tokens, until the details have less than `limit` bytes. */
function fitted(details, limit) {
  for (const most of [5, 2, 0]) {
    const tokens = details.tokens.map((token) => ({ ...token, alternatives: token.alternatives.slice(0, most) }));
    if (bytes({ ...details, tokens }) < limit) return { ...details, tokens };
  }
  return { ...details, tokens: [], prompt_ids: null };
}

/** As JSON with \u escapes, the longest form a server could count. */
const bytes = (value) => JSON.stringify(value).replace(/[^\x00-\x7f]/g, "\\uXXXX").length;
