"""`POST /v1/lens`: what each layer of a model says about the next token of a text."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request

from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.engine.token_lens import LayerReading, TokenLens, max_tokens
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.judged_prompts import judge_completion
from lmcraft.server.http.openai_format import logprob_entry
from lmcraft.server.http.protocol.completions import CompletionRequest, as_prompt_list
from lmcraft.server.http.protocol.lens import LensRequest
from lmcraft.server.http.request_builder import check_context, check_total_tokens, encode_conversation, encode_prompt
from lmcraft.server.http.state import cancel_on_disconnect, prepare_in_thread, server_state
from lmcraft.server.moderation.guard import JudgedPrompt
from lmcraft.server.moderation.held_answer import harmful_tokens
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter(route_class=JsonRoute)
MAX_JUDGMENTS = 64  # of the tokens of a lens, if some of them are harmful
JUDGED_TOKENS = 16  # of the text before a token, that a policy judges together with it


@router.post("/v1/lens")
async def lens(body: LensRequest, request: Request) -> dict[str, Any]:
    """The most likely next tokens at each layer, by the logit lens, and by the Jacobian lens if the model has one."""
    body.check()
    served = await server_state(request).get_model(body.model)
    tokenizer = served.language_model.tokenizer
    ids, judged = await _read_text(body, request, served)
    lenses = await _read_lenses(body, request, served, ids)
    hidden: set[int] = set()
    if judged is not None:
        shown = {token_id for lens in lenses for reading in lens.layers for token_id, _ in reading.choices}
        shown |= set() if body.target is None else {body.target}
        before = _last_words(ids, tokenizer)
        hidden = await harmful_tokens(judged, tokenizer, shown, before=before, max_judgments=MAX_JUDGMENTS)
    if body.target in hidden:
        raise _refusal()
    return {
        "object": "lens",
        "model": served.name,
        "lenses": [
            {"kind": lens.kind, "layers": [_layer_json(reading, body.target, hidden, tokenizer) for reading in lens.layers]}
            for lens in lenses
        ],
        "hidden_tokens": len(hidden),
        "rounding": served.rounding,
        "usage": {"prompt_tokens": len(ids), "total_tokens": len(ids)},
    }


def _check_length(served: ServedModel, length: int, field: str) -> None:
    """Raise ApiError for a text whose keys and values would take too much memory."""
    if length > (longest := max_tokens(served.language_model.transformer)):
        message = f"the text has {length} tokens, and the lens of '{served.name}' reads at most {longest}; shorten it"
        raise ApiError(400, message, code="lens_too_long", param=field, values={"tokens": length, "max": longest})


async def _read_text(body: LensRequest, request: Request, served: ServedModel) -> tuple[list[int], JudgedPrompt | None]:
    """The tokens that the model reads, without what a policy redacts, and how that judges what the lens shows.

    Raises:
        ApiError: the policy refuses the text, it is too long, or it has tokens outside the vocabulary.
    """

    def encode() -> list[int]:
        for field, token_ids in {
            "token_ids": body.token_ids,
            "target": [] if body.target is None else [body.target],
        }.items():
            if token_ids:
                encode_prompt(served, token_ids, param=field)
        if body.messages is not None:
            ids = encode_conversation(served, body.as_chat(), body.tools or [])
        else:
            ids = encode_prompt(served, body.prompt or "", add_special_tokens=body.add_special_tokens)
        ids = [*ids, *body.token_ids]
        field = "prompt" if body.messages is None else "messages"
        check_total_tokens([ids], field)
        check_context(served, len(ids), 0, prompt_field=field)
        _check_length(served, len(ids), field)
        return ids

    ids = await prepare_in_thread(request, encode)
    if server_state(request).guard is None:
        return ids, None
    completion = CompletionRequest(model=body.model, prompt=ids)
    completion, judged = await judge_completion(request, completion, sends_to_review=False)
    if judged is not None and judged.is_refused:
        raise _refusal()
    released = as_prompt_list(completion.prompt)[0]
    assert not isinstance(released, str), "they were token ids"
    return released, judged


def _refusal() -> ApiError:
    return ApiError(403, "the policy of this server refuses this text", code="content_filter")


async def _read_lenses(body: LensRequest, request: Request, served: ServedModel, ids: Sequence[int]) -> list[TokenLens]:
    """Compute the lenses, and charge them to the quota.

    Raises:
        ApiError: the quota is used up or too many wait (429), it takes too long (504), or the client has left.
    """
    state, owner = server_state(request), str(request.state.owner)
    state.quotas.take(owner, len(ids))
    rests = state.lenses.rests(owner)
    reading = state.lenses.read(owner, served, ids, rests, num_choices=body.top_logprobs, target=body.target)
    try:
        return await cancel_on_disconnect(request, reading)
    finally:
        if not rests.has_begun:
            state.quotas.refund(owner, len(ids))


def _last_words(ids: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """The last tokens of a text, from its last line and after its last special token."""
    special, words = frozenset(tokenizer.special_tokens.values()), list[int]()
    for token_id in reversed(ids[-JUDGED_TOKENS:]):
        if token_id in special or b"\n" in tokenizer.token_bytes(token_id):
            break
        words.append(token_id)
    return words[::-1]


def _layer_json(reading: LayerReading, target: int | None, hidden: set[int], tokenizer: Tokenizer) -> dict[str, Any]:
    def entry(token_id: int, logprob: float) -> dict[str, Any]:
        return logprob_entry(tokenizer, token_id, logprob, with_ids=True)

    top = [entry(token_id, logprob) for token_id, logprob in reading.choices if token_id not in hidden]
    fields = {"layer": reading.layer, "top_logprobs": top}
    if target is None or reading.target_logprob is None:
        return fields
    return {**fields, "target": {**entry(target, reading.target_logprob), "rank": reading.target_rank}}
