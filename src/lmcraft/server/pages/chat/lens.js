// What each layer of the model says about one token of an answer.

import { sendRequest } from "../net/api.js";
import { parseToken } from "./answer.js";

const TOKENS_PER_LAYER = 3;

/**
 * The lenses of the token at `index` of an answer: {lenses: [{kind, layers: [{layer, tokens, rank}]}], hiddenCount: how many tokens
 * the policy hides, rounding: the type of the weights that wrote the answer, if it is not the folder's, or null}. Each token is as in Answer. An aborted request also ends the computation.
 */
export async function fetchLens({ details: { tokens, prompt_ids: promptIds } }, model, index, signal) {
  const prompt = [...promptIds, ...tokens.slice(0, index).map(({ id }) => id)];
  const body = JSON.stringify({ model: model.id, prompt, target: tokens[index].id, top_logprobs: TOKENS_PER_LAYER });
  const { lenses, hidden_tokens: hiddenCount, rounding } = await (await sendRequest("/v1/lens", { method: "POST", body, signal })).json();
  const parseLayer = ({ layer, top_logprobs: top, target }) => ({ layer, tokens: top.map(parseToken), rank: target.rank });
  return { lenses: lenses.map(({ kind, layers }) => ({ kind, layers: layers.map(parseLayer) })), hiddenCount, rounding };
}
