// The requests for answers: plans that an Answer runs.

import { Problem, request } from "../net/api.js";
import { t } from "../strings.js";

const ALTERNATIVES = 5;
const COMMON = { stream: true, stream_options: { include_usage: true }, return_token_ids: true };
const CHAT = "/v1/chat/completions";
const TEXT = "/v1/completions";

/** A seed is always sent, so that every answer can be had again. 2^31 is safe for every server. */
export const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;

/** The messages up to and with `id`, as the chat endpoints take them. */
export function messagesTo(chat, id) {
  const said = chat.tree.path(id).map(({ role, content }) => ({ role, content }));
  return chat.system ? [{ role: "system", content: chat.system }, ...said] : said;
}

/** An answer to the message `parent`. */
export function answerPlan(chat, parent, model, seed) {
  if (model.kind === "completion") return textPlan(chat, model, textTo(chat, parent), seed);
  const body = { ...chatBody(chat, model, seed), messages: messagesTo(chat, parent) };
  return { path: CHAT, model: model.id, body };
}

/** The continuation of an answer that was cut off, or that a person rewrote. */
export function goOnPlan(chat, message, model, seed) {
  const start = { content: message.content, prefix: message.content.length };
  if (model.kind === "completion") return { ...textPlan(chat, model, textTo(chat, message.id), seed), ...start };
  const messages = messagesTo(chat, message.id);
  const body = { ...chatBody(chat, model, seed), messages, continue_final_message: true, add_generation_prompt: false };
  return { path: CHAT, model: model.id, body, ...start };
}

/** What follows the first `count` tokens of an answer, and `alternative` in the place of the next one. */
export async function branchPlan(chat, message, model, count, alternative, seed) {
  const { tokens: all, prompt_ids: promptIds, prefix } = message.details;
  const old = all[count];
  const id = alternative.id ?? (await idOf(alternative.text, model));
  const tokens = [...all.slice(0, count), { ...alternative, id, alternatives: old.alternatives }];
  const ids = tokens.map((token) => token.id);
  const content = message.content.slice(0, prefix) + (await textOf(tokens, ids, model));
  return { ...textPlan(chat, model, [...promptIds, ...ids], seed), content, tokens, promptIds, prefix };
}

/** What a model reads before an answer: the text, and its tokens. */
export async function renderedPrompt(chat, message, model) {
  const said = model.kind === "completion" ? { prompt: textTo(chat, message.parent) } : { messages: messagesTo(chat, message.parent) };
  const found = await request("POST", "/tokenize", { model: model.id, ...said, return_token_strs: true });
  const tokens = found.token_strs.map((text) => ({ text }));
  return { text: await textOf(tokens, found.tokens, model), ids: found.tokens, strings: found.token_strs };
}

const textTo = (chat, id) => chat.tree.path(id).map(({ content }) => content).join("");

function chatBody(chat, model, seed) {
  return { ...settingsOf(chat, seed), ...COMMON, model: model.id, logprobs: true, top_logprobs: ALTERNATIVES };
}

function textPlan(chat, model, prompt, seed) {
  const settings = settingsOf(chat, seed);
  // This endpoint stops after 16 tokens unless told; a text's own length in tokens is only known to the server.
  const room = Math.max(1, model.context - (typeof prompt === "string" ? 2 * prompt.length : prompt.length));
  const body = { max_tokens: room, ...settings, ...COMMON, model: model.id, prompt, logprobs: ALTERNATIVES };
  return { path: TEXT, model: model.id, body };
}

function settingsOf(chat, seed) {
  return { ...chat.settings, seed: seed ?? chat.settings.seed ?? anySeed() };
}

async function idOf(text, model) {
  const found = await request("POST", "/tokenize", { model: model.id, prompt: text, add_special_tokens: false });
  if (found.tokens.length !== 1) throw new Problem(t("noTokenId"));
  return found.tokens[0];
}

/** Tokens that hold part of a character only make sense together: the server joins those. */
async function textOf(tokens, ids, model) {
  const text = tokens.map((token) => token.text).join("");
  if (!text.includes("\ufffd")) return text;
  return (await request("POST", "/detokenize", { model: model.id, tokens: ids })).prompt;
}
