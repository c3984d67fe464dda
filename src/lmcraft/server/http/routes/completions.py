"""`POST /v1/completions`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import SequenceState
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.judged_prompts import judge_completion
from lmcraft.server.http.openai_format import (
    STREAMED,
    EventStreamResponse,
    clamp_logprob,
    prompt_logprobs,
    response_fields,
    sse_event,
    stop_reason,
    token_keys,
)
from lmcraft.server.http.protocol.completions import CompletionRequest, as_prompt_list
from lmcraft.server.http.request_builder import build_completion, encode_fill_in_middle, encode_prompt
from lmcraft.server.http.shown_tokens import ShownTokens
from lmcraft.server.http.state import Generation, cancel_on_disconnect, server_state, start_generation
from lmcraft.server.moderation.held_answer import Piece
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions", responses=STREAMED)
async def completions(body: CompletionRequest, request: Request) -> Response:
    """Continue texts; streamed if `stream` is set."""
    body.check()
    include_usage = body.includes_usage
    limits, owner = server_state(request).limits, request.state.owner
    body, judged = await judge_completion(request, body)
    generation = await start_generation(
        request,
        body.model,
        lambda served: build_completion(served, body, _encode_prompts(served, body), owner, limits),
        judged,
    )
    if body.stream:
        return EventStreamResponse(_events(generation, body, include_usage=include_usage), generation)
    try:
        return await cancel_on_disconnect(request, _collect(generation, body, request))
    finally:
        generation.finish()


def _encode_prompts(served: ServedModel, body: CompletionRequest) -> list[list[int]]:
    prompts = as_prompt_list(body.prompt)
    if body.suffix is not None:
        encode = partial(encode_fill_in_middle, served, suffix=body.suffix)
    else:
        encode = partial(encode_prompt, served)
    return [encode(prompt, add_special_tokens=body.add_special_tokens) for prompt in prompts]


class CompletionLogprobs:
    """OpenAI's `logprobs` of completions: each token, its log-probability, the alternatives, and its offset in the text.

    Args:
        tokenizer: of the model.
        offset: of the first token, in characters.
    """

    def __init__(self, tokenizer: Tokenizer, offset: int = 0) -> None:
        self._tokenizer = tokenizer
        # Offsets are those of the tokens' own text: a stop string that may have begun holds the answer's text back.
        self._decoder = tokenizer.stream()
        self._shown = ShownTokens(tokenizer)
        self._offset = offset
        self._fields: dict[str, list[Any]] = {}

    def add(self, token_id: int, logprob: float | None, alternatives: Sequence[tuple[int, float]]) -> None:
        """Add a token; the first one of a prompt has no log-probability."""
        keys = token_keys(self._tokenizer, [*(other_id for other_id, _ in alternatives), token_id])
        top = {keys[other_id]: clamp_logprob(other) for other_id, other in alternatives}
        own = None if logprob is None else clamp_logprob(logprob)
        entry = {
            "tokens": keys[token_id],
            "token_logprobs": own,
            # The token itself is always among them, as in OpenAI's API.
            "top_logprobs": None if own is None else {**top, keys[token_id]: own},
            "text_offset": self._offset,
        }
        for name, value in entry.items():
            self._fields.setdefault(name, []).append(value)
        self._offset += len(self._decoder.put(token_id))

    def extend(self, tokens: Sequence[Token]) -> Sequence[Token]:
        """Add generated tokens, except those of the stop string that ends the text; returns those that were added."""
        shown = self._shown.put(tokens)
        for token in shown:
            self.add(token.id, token.logprob, token.alternatives)
        return shown

    @property
    def held(self) -> list[Token]:
        """The generated tokens that were not added."""
        return self._shown.held

    def end_prompt(self) -> None:
        """The tokens that follow are the answer's."""
        self._offset += len(self._decoder.end())
        self._decoder = self._tokenizer.stream()

    def take_json(self) -> dict[str, Any]:
        """The tokens that were added since the last call."""
        fields, self._fields = self._fields, {}
        return {name: fields.get(name, []) for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset")}


@dataclass
class _Choice:
    """One of the texts in progress."""

    text: str = ""
    logprobs: CompletionLogprobs | None = None
    """If the request asks for them."""
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    refusal: str | None = None
    """What the policy says in place of the rest of the text, of which it is no part."""
    last_token: Token | None = None

    def add(self, piece: Piece) -> None:
        if self.logprobs is not None:
            self.logprobs.extend(piece.tokens)
        self.text += piece.text
        self.token_ids += [token.id for token in piece.tokens]
        self.last_token = piece.last_token
        self.finish_reason = piece.finish_reason or "length"  # max_tokens=0
        self.refusal = piece.refusal

    def as_json(self, n: int, body: CompletionRequest, prompt_ids: Sequence[int]) -> dict[str, Any]:
        fields = {"index": n, "text": self.text, "finish_reason": self.finish_reason}
        fields["logprobs"] = None if self.logprobs is None else self.logprobs.take_json()
        fields["stop_reason"] = stop_reason(self.last_token, body.stop_token_ids)
        fields |= {} if self.refusal is None else {"refusal": self.refusal}
        ids = {"token_ids": self.token_ids, "prompt_token_ids": list(prompt_ids)}
        return fields | ids if body.return_token_ids else fields


async def _collect(generation: Generation, body: CompletionRequest, request: Request) -> JSONResponse:
    """All choices in one response."""
    pieces = [Piece(()) for _ in generation.prepared.sequences]
    async for n, piece in generation:
        pieces[n] = Piece((*pieces[n].tokens, *piece.tokens), piece.refusal)
    if any(sequence.prompt_scores for sequence in generation.prepared.sequences):  # thousands of entries
        return await server_state(request).preparation.run(request.state.owner, lambda: _respond(generation, body, pieces))
    return _respond(generation, body, pieces)


def _respond(generation: Generation, body: CompletionRequest, pieces: Sequence[Piece]) -> JSONResponse:
    served, prepared = generation.served, generation.prepared
    choices = []
    for n, piece in enumerate(pieces):
        first = prepared.sequences[n // prepared.n * prepared.n]
        choice = _Choice() if generation.refuses(n) else _start_choice(served, body, first)
        choice.add(piece)
        count = None if generation.refuses(n) else body.prompt_logprobs
        scores = prompt_logprobs(served.language_model.tokenizer, first, count)
        choices.append({**choice.as_json(n, body, first.request.prompt_ids), **scores})
    fields = response_fields("cmpl", "text_completion", served.name)
    return JSONResponse({**fields, "choices": choices, "usage": generation.usage()})


def _start_choice(served: ServedModel, body: CompletionRequest, sequence: SequenceState) -> _Choice:
    """A choice before its first token; if `echo` is set, with the prompt in it, which `sequence` has scored."""
    tokenizer, prompt_ids = served.language_model.tokenizer, sequence.request.prompt_ids
    text = tokenizer.decode(prompt_ids) if body.echo else ""
    if body.logprobs is None:
        return _Choice(text)
    logprobs = CompletionLogprobs(tokenizer)
    if body.echo:
        for token_id, score in zip(prompt_ids, [None, *sequence.prompt_scores], strict=True):
            logprob, alternatives = (None, ()) if score is None else (score.logprob, score.alternatives[: body.logprobs])
            logprobs.add(token_id, logprob, alternatives)
        logprobs.end_prompt()
    return _Choice(text, logprobs)


async def _events(generation: Generation, body: CompletionRequest, *, include_usage: bool) -> AsyncIterator[bytes]:
    prepared, tokenizer = generation.prepared, generation.served.language_model.tokenizer
    fields = response_fields("cmpl", "text_completion", generation.served.name)

    def event(choice: dict[str, Any]) -> bytes:
        usage = {"usage": generation.usage() if body.repeats_usage else None} if include_usage else {}
        return sse_event({**fields, "choices": [choice], **usage})

    logprobs: list[CompletionLogprobs] = []
    for n in range(len(prepared.sequences)):
        prompt_ids = prepared.prompts[n // prepared.n]
        text = tokenizer.decode(prompt_ids) if body.echo and not generation.refuses(n) else ""
        logprobs.append(CompletionLogprobs(tokenizer, len(text)))
        if body.echo or body.return_token_ids:
            ids = {"prompt_token_ids": list(prompt_ids), "token_ids": []} if body.return_token_ids else {}
            choice: dict[str, Any] = {"index": n, "text": text, "logprobs": None, "finish_reason": None, **ids}
            yield event(choice)
    async for n, piece in generation:
        text, finish_reason = piece.text, piece.finish_reason
        choice = {"index": n, "text": text, "logprobs": None, "finish_reason": finish_reason}
        if piece.refusal is not None:
            choice["refusal"] = piece.refusal
        tokens = piece.tokens
        if body.logprobs is not None:
            tokens = logprobs[n].extend(tokens)
            scores = logprobs[n].take_json()
            choice["logprobs"] = scores if scores["tokens"] or text else None
        if body.return_token_ids:
            hidden = () if finish_reason is None else logprobs[n].held
            choice["token_ids"] = [token.id for token in (*tokens, *hidden)]
        if finish_reason is not None:
            choice["stop_reason"] = stop_reason(piece.last_token, body.stop_token_ids)
        if text or choice["logprobs"] or body.return_token_ids or finish_reason:
            yield event(choice)
    if include_usage:
        yield sse_event({**fields, "choices": [], "usage": generation.usage()})
