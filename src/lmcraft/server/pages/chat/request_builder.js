// Builds the requests for answers, which answer.js runs.

import { ApiError, fetchJson } from "../net/api.js";
import { t } from "../strings.js";
import { getDefaultLimit } from "./models.js";
import { ThoughtTags } from "./thought_tags.js";

const MAX_ALTERNATIVES = 5; // per token
const MAX_TOKENS_PER_CHARACTER = 2; // only the server knows how many tokens a text has
const TEMPLATE_TOKENS = 32; // allowance for what a chat template adds
const COMMON_FIELDS = { stream: true, stream_options: { include_usage: true }, return_token_ids: true };
const CHAT_PATH = "/v1/chat/completions";
const COMPLETION_PATH = "/v1/completions";

/** Every request has a seed, so that every answer can be reproduced. All servers accept seeds below 2^31. */
export const drawSeed = () => crypto.getRandomValues(new Uint32Array(1))[0] >>> 1;

/** An answer to the message `parent`. */
export function buildAnswerRequest(conversation, parent, model, seed) {
  if (model.kind === "completion") return buildCompletion(conversation, model, joinText(conversation, parent), seed);
  return buildChat(conversation, model, seed, { messages: listMessages(conversation, parent) });
}

/** The continuation of an answer that was cut off or edited. */
export function buildContinuationRequest(conversation, message, model) {
  const { thoughts, thoughtSeconds } = message.details ?? {};
  const start = { content: message.content, thoughts, thoughtSeconds, prefix: message.content.length };
  if (model.kind === "completion") return { ...buildCompletion(conversation, model, joinText(conversation, message.id)), ...start };
  const messages = listMessages(conversation, message.id);
  const fields = { messages, continue_final_message: true, add_generation_prompt: false };
  return { ...buildChat(conversation, model, undefined, fields), ...start };
}

/** The continuation of the first `count` tokens of an answer and `alternative` as the next token. */
export async function buildBranchRequest(conversation, message, model, count, alternative) {
  const { tokens: original, prompt_ids: promptIds, prefix, thoughts } = message.details;
  const id = alternative.id ?? (await fetchTokenId(alternative.text, model));
  const tokens = [...original.slice(0, count), { ...alternative, id, alternatives: original[count].alternatives }];
  const ids = tokens.map((token) => token.id);
  const content = message.content.slice(0, prefix) + (await joinTokens(tokens, ids, model));
  const request = { ...buildCompletion(conversation, model, [...promptIds, ...ids]), content, tokens, promptIds, prefix };
  if (!model.thought_tags || prefix) return { ...request, thoughts };
  const begins = joinTexts(original).trimStart().startsWith(model.thought_tags.start);
  return { ...request, thoughtTags: new ThoughtTags(model.thought_tags, Boolean(thoughts) && !begins) };
}

/** The prompt of an answer: its text, its token ids and its tokens' strings. */
export async function fetchPrompt(conversation, message, model) {
  const { parent } = message;
  const input = model.kind === "completion" ? { prompt: joinText(conversation, parent) } : { messages: listMessages(conversation, parent) };
  const { tokens: ids, token_strs: strings } = await fetchJson("POST", "/tokenize", { model: model.id, ...input, return_token_strs: true });
  const tokens = strings.map((text) => ({ text }));
  return { text: await joinTokens(tokens, ids, model), ids, strings };
}

/** The messages up to and including `id`, in the form of the chat endpoint. The template decides which thoughts stay. */
function listMessages(conversation, id) {
  const messages = conversation.tree.path(id).map(({ role, content, details }) => {
    return details?.thoughts ? { role, content, reasoning_content: details.thoughts } : { role, content };
  });
  return conversation.system ? [{ role: "system", content: conversation.system }, ...messages] : messages;
}

/** The text up to and including the message `id`, for models without a chat template. */
const joinText = (conversation, id) => conversation.tree.path(id).map(({ content }) => content).join("");

function buildChat(conversation, model, seed, fields) {
  const characters = JSON.stringify(fields.messages).length;
  const settings = { ...limitLength(model, MAX_TOKENS_PER_CHARACTER * characters), ...mergeSettings(conversation, seed) };
  const body = { ...settings, ...COMMON_FIELDS, model: model.id, logprobs: true, top_logprobs: MAX_ALTERNATIVES, ...fields };
  const thoughtTags = model.thought_tags && new ThoughtTags(model.thought_tags, false); // an engine behind a gateway may leave them
  return { path: CHAT_PATH, model: model.id, body, thoughtTags };
}

function buildCompletion(conversation, model, prompt, seed) {
  const promptTokens = typeof prompt === "string" ? MAX_TOKENS_PER_CHARACTER * prompt.length : prompt.length;
  const limit = limitLength(model, promptTokens) ?? { max_tokens: Math.max(1, model.context - promptTokens) }; // the endpoint's default is 16
  const settings = { ...limit, ...mergeSettings(conversation, seed) };
  const body = { ...settings, ...COMMON_FIELDS, model: model.id, prompt, logprobs: MAX_ALTERNATIVES };
  return { path: COMPLETION_PATH, model: model.id, body };
}

/** The default length of an answer; nothing where it may not fit after the prompt: then the context is the limit. */
function limitLength(model, promptTokens) {
  const limit = getDefaultLimit(model);
  const fits = !model.context || promptTokens + TEMPLATE_TOKENS + limit <= model.context;
  return fits ? { max_tokens: limit } : null;
}

function mergeSettings({ settings }, seed) {
  return { ...settings, seed: seed ?? settings.seed ?? drawSeed() };
}

async function fetchTokenId(text, model) {
  const { tokens } = await fetchJson("POST", "/tokenize", { model: model.id, prompt: text, add_special_tokens: false });
  if (tokens.length !== 1) throw new ApiError(t("noTokenId"));
  return tokens[0];
}

const joinTexts = (tokens) => tokens.map(({ text }) => text).join("");

/** The text of tokens. The server joins tokens that hold parts of a character. */
async function joinTokens(tokens, ids, model) {
  const text = joinTexts(tokens);
  if (!text.includes("\ufffd")) return text;
  return (await fetchJson("POST", "/detokenize", { model: model.id, tokens: ids })).prompt;
}
