"""`POST /v1/completions`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import SequenceState
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import (
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
from lmcraft.server.http.state import Generation, cancel_on_disconnect, server_state, start_generation
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/completions")
async def completions(body: CompletionRequest, request: Request) -> Response:
    """Continue texts; streamed if `stream` is set."""
    body.check()
    include_usage = body.includes_usage
    limits, owner = server_state(request).limits, request.state.owner
    generation = await start_generation(
        request,
        body.model,
        lambda served: build_completion(served, body, _encode_prompts(served, body), owner, limits),
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
        return [encode_fill_in_middle(served, prompt, body.suffix) for prompt in prompts]
    return [encode_prompt(served, prompt, add_special_tokens=body.add_special_tokens) for prompt in prompts]


@dataclass
class CompletionLogprobs:
    """OpenAI's `logprobs` of completions: each token, its log-probability, the alternatives, and its offset in the text."""

    tokenizer: Tokenizer
    next_offset: int = 0
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)

    def add(self, token_id: int, logprob: float | None, alternatives: Sequence[tuple[int, float]], text_length: int) -> None:
        """Add a token; `text_length` is the number of characters that it completes."""
        keys = token_keys(self.tokenizer, [*(other_id for other_id, _ in alternatives), token_id])
        self.tokens.append(keys[token_id])
        self.token_logprobs.append(None if logprob is None else clamp_logprob(logprob))
        top = {keys[other_id]: clamp_logprob(other) for other_id, other in alternatives}
        # The token itself is always among them, as in OpenAI's API.
        self.top_logprobs.append(None if logprob is None else {**top, keys[token_id]: clamp_logprob(logprob)})
        self.text_offset.append(self.next_offset)
        self.next_offset += text_length

    def extend(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self.add(token.id, token.logprob, token.alternatives, len(token.text))

    def as_json(self) -> dict[str, Any]:
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        return {name: getattr(self, name) for name in names}


@dataclass
class _Choice:
    """One of the texts in progress."""

    text: str
    logprobs: CompletionLogprobs
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    last_token: Token | None = None

    def add(self, tokens: Sequence[Token]) -> None:
        self.logprobs.extend(tokens)
        self.text += "".join(token.text for token in tokens)
        self.token_ids += [token.id for token in tokens]
        self.last_token = tokens[-1] if tokens else None
        self.finish_reason = tokens[-1].finish_reason if tokens else "length"  # max_tokens=0

    def as_json(self, n: int, body: CompletionRequest, prompt_ids: Sequence[int]) -> dict[str, Any]:
        fields = {"index": n, "text": self.text, "finish_reason": self.finish_reason}
        fields["logprobs"] = None if body.logprobs is None else self.logprobs.as_json()
        fields["stop_reason"] = stop_reason(self.last_token, body.stop_token_ids)
        ids = {"token_ids": self.token_ids, "prompt_token_ids": list(prompt_ids)}
        return fields | ids if body.return_token_ids else fields


async def _collect(generation: Generation, body: CompletionRequest, request: Request) -> JSONResponse:
    """All choices in one response."""
    tokens: list[list[Token]] = [[] for _ in generation.prepared.sequences]
    async for n, new_tokens in generation:
        tokens[n] += new_tokens
    if any(sequence.prompt_scores for sequence in generation.prepared.sequences):  # thousands of entries
        return await server_state(request).preparation.run(request.state.owner, lambda: _respond(generation, body, tokens))
    return _respond(generation, body, tokens)


def _respond(generation: Generation, body: CompletionRequest, tokens: Sequence[Sequence[Token]]) -> JSONResponse:
    served, prepared = generation.served, generation.prepared
    choices = []
    for n, new_tokens in enumerate(tokens):
        first = prepared.sequences[n // prepared.n * prepared.n]
        choice = _start_choice(served, body, first)
        choice.add(new_tokens)
        scores = prompt_logprobs(served.language_model.tokenizer, first, body.prompt_logprobs)
        choices.append({**choice.as_json(n, body, first.request.prompt_ids), **scores})
    fields = response_fields("cmpl", "text_completion", served.name)
    return JSONResponse({**fields, "choices": choices, "usage": generation.usage()})


def _start_choice(served: ServedModel, body: CompletionRequest, sequence: SequenceState) -> _Choice:
    """A choice before its first token; if `echo` is set, with the prompt in it, which `sequence` has scored."""
    tokenizer, prompt_ids = served.language_model.tokenizer, sequence.request.prompt_ids
    choice = _Choice("", CompletionLogprobs(tokenizer))
    if not body.echo:
        return choice
    if body.logprobs is None:
        return _Choice(tokenizer.decode(prompt_ids), CompletionLogprobs(tokenizer))
    decoder = tokenizer.stream()
    for token_id, score in zip(prompt_ids, [None, *sequence.prompt_scores], strict=True):
        text = decoder.put(token_id)
        logprob, alternatives = (None, ()) if score is None else (score.logprob, score.alternatives[: body.logprobs])
        choice.logprobs.add(token_id, logprob, alternatives, len(text))
        choice.text += text
    choice.text += decoder.end()
    return choice


async def _events(generation: Generation, body: CompletionRequest, *, include_usage: bool) -> AsyncIterator[bytes]:
    prepared, tokenizer = generation.prepared, generation.served.language_model.tokenizer
    fields = response_fields("cmpl", "text_completion", generation.served.name)

    def event(choice: dict[str, Any]) -> bytes:
        usage = {"usage": generation.usage() if body.repeats_usage else None} if include_usage else {}
        return sse_event({**fields, "choices": [choice], **usage})

    offsets = [0] * len(prepared.sequences)
    for n in range(len(prepared.sequences)):
        prompt_ids = prepared.prompts[n // prepared.n]
        if body.echo or body.return_token_ids:
            text = tokenizer.decode(prompt_ids) if body.echo else ""
            ids = {"prompt_token_ids": list(prompt_ids), "token_ids": []} if body.return_token_ids else {}
            choice: dict[str, Any] = {"index": n, "text": text, "logprobs": None, "finish_reason": None, **ids}
            yield event(choice)
            offsets[n] = len(text)
    async for n, tokens in generation:
        text, finish_reason = "".join(token.text for token in tokens), tokens[-1].finish_reason
        choice = {"index": n, "text": text, "logprobs": None, "finish_reason": finish_reason}
        if body.logprobs is not None:
            logprobs = CompletionLogprobs(tokenizer, offsets[n])
            logprobs.extend(tokens)
            choice["logprobs"], offsets[n] = logprobs.as_json(), logprobs.next_offset
        if body.return_token_ids:
            choice["token_ids"] = [token.id for token in tokens]
        if finish_reason is not None:
            choice["stop_reason"] = stop_reason(tokens[-1], body.stop_token_ids)
        if text or choice["logprobs"] or body.return_token_ids or finish_reason:
            yield event(choice)
    if include_usage:
        yield sse_event({**fields, "choices": [], "usage": generation.usage()})
