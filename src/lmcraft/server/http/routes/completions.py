"""`POST /v1/completions`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.inference.scoring import score
from lmcraft.server.engine.registry import Served
from lmcraft.server.http.openai_format import Streamed, event, finite, head, spelled
from lmcraft.server.http.protocol.completions import CompletionRequest, listed
from lmcraft.server.http.request_builder import ask_completion, check_length, middle_ids, prompt_ids
from lmcraft.server.http.state import Answer, begin, call, serving_of, until_gone
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter()


@router.post("/v1/completions")
async def completions(body: CompletionRequest, request: Request) -> Response:
    """Continue texts; streamed if asked for."""
    body.check()
    usage = body.includes_usage
    if body.max_tokens == 0:
        return await _scored(body, request)
    limits, owner = serving_of(request).limits, request.state.owner
    answer = await begin(
        request, body.model, lambda served: ask_completion(served, body, _prompts(served, body), owner, limits)
    )
    if body.stream:
        return Streamed(_events(answer, body, usage), answer)
    try:
        return await _whole(answer, body, request)
    finally:
        answer.end()


def _prompts(served: Served, body: CompletionRequest) -> list[list[int]]:
    if body.suffix is not None:
        return [middle_ids(served, prompt, body.suffix) for prompt in listed(body.prompt)]
    return [prompt_ids(served, prompt, begin=body.add_special_tokens) for prompt in listed(body.prompt)]


@dataclass
class Logprobs:
    """OpenAI's old form: what each token is, how likely it was, what else was likely, and where it begins in the text."""

    tokenizer: Tokenizer
    offset: int = 0
    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)

    def add(self, token_id: int, logprob: float | None, alternatives: Sequence[tuple[int, float]], length: int) -> None:
        """`length` is how many characters the token made certain."""
        self.tokens.append(spelled(self.tokenizer, token_id))
        self.token_logprobs.append(None if logprob is None else finite(logprob))
        others = {spelled(self.tokenizer, other): finite(likely) for other, likely in alternatives}
        self.top_logprobs.append(None if logprob is None else others)
        self.text_offset.append(self.offset)
        self.offset += length

    def extend(self, tokens: Sequence[Token]) -> None:
        for token in tokens:
            self.add(token.id, token.logprob, token.alternatives, len(token.text))

    def as_json(self) -> dict[str, Any]:
        names = ("tokens", "token_logprobs", "top_logprobs", "text_offset")
        return {name: getattr(self, name) for name in names}


@dataclass
class _Choice:
    text: str
    logprobs: Logprobs
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    def take(self, tokens: Sequence[Token]) -> None:
        self.logprobs.extend(tokens)
        self.text += "".join(token.text for token in tokens)
        self.token_ids += [token.id for token in tokens]
        self.finish_reason = tokens[-1].finish_reason

    def as_json(self, n: int, body: CompletionRequest, prompt: Sequence[int]) -> dict[str, Any]:
        found = {"index": n, "text": self.text, "finish_reason": self.finish_reason}
        found["logprobs"] = None if body.logprobs is None else self.logprobs.as_json()
        ids = {"token_ids": self.token_ids, "prompt_token_ids": list(prompt)}
        return found | ids if body.return_token_ids else found


async def _whole(answer: Answer, body: CompletionRequest, request: Request) -> JSONResponse:
    served, asked = answer.served, answer.asked
    choices = []
    for prompt in asked.prompts:
        begun = await _begun(request, served, body, prompt)
        choices += [_copy(begun) for _ in range(asked.n)]

    async def work() -> None:
        assert answer.stream is not None
        async for n, tokens in answer.stream:
            answer.generated += len(tokens)
            choices[n].take(tokens)

    await until_gone(request, work())
    return _answered(served, body, asked.prompts, choices, answer.usage())


def _answered(
    served: Served, body: CompletionRequest, prompts: Sequence[Sequence[int]], choices: list[_Choice], usage: dict[str, int]
) -> JSONResponse:
    n = len(choices) // len(prompts)
    said = [choice.as_json(i, body, prompts[i // n]) for i, choice in enumerate(choices)]
    return JSONResponse({**head("cmpl", "text_completion", served.name), "choices": said, "usage": usage})


async def _scored(body: CompletionRequest, request: Request) -> Response:
    """The prompts themselves with their log-probabilities: max_tokens=0 and echo."""
    served = await serving_of(request).model(body.model)
    prompts = _prompts(served, body)
    choices = [await _begun(request, served, body, prompt) for prompt in prompts]
    for choice in choices:
        choice.finish_reason = "length"
    count = sum(map(len, prompts))
    usage = {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count}
    return _answered(served, body, prompts, choices, usage)


async def _begun(request: Request, served: Served, body: CompletionRequest, prompt: Sequence[int]) -> _Choice:
    """A choice before its first token: with the prompt in it, if that is to be echoed."""
    tokenizer = served.language_model().tokenizer
    choice = _Choice("", Logprobs(tokenizer))
    if not body.echo:
        return choice
    if body.logprobs is None:
        return _Choice(tokenizer.decode(prompt), Logprobs(tokenizer))
    check_length(served, len(prompt), 0)
    count = body.logprobs
    scores = await call(request, served, lambda engine: score(engine, prompt, served.adapter, count), len(prompt))
    pieces = tokenizer.stream()
    for token_id, (logprob, alternatives) in zip(prompt, scores, strict=True):
        text = pieces.put(token_id)
        choice.logprobs.add(token_id, logprob, alternatives, len(text))
        choice.text += text
    choice.text += pieces.end()
    return choice


def _copy(choice: _Choice) -> _Choice:
    old = choice.logprobs
    lists = (list(old.tokens), list(old.token_logprobs), list(old.top_logprobs), list(old.text_offset))
    return _Choice(choice.text, Logprobs(old.tokenizer, old.offset, *lists))


async def _events(answer: Answer, body: CompletionRequest, usage: bool) -> AsyncIterator[bytes]:
    assert answer.stream is not None
    asked, tokenizer = answer.asked, answer.served.language_model().tokenizer
    start: dict[str, Any] = head("cmpl", "text_completion", answer.served.name) | ({"usage": None} if usage else {})
    offsets = [0] * len(asked.sequences)
    for n in range(len(asked.sequences)):
        prompt = asked.prompts[n // asked.n]
        if body.echo or body.return_token_ids:
            text = tokenizer.decode(prompt) if body.echo else ""
            ids = {"prompt_token_ids": list(prompt), "token_ids": []} if body.return_token_ids else {}
            yield event({**start, "choices": [{"index": n, "text": text, "logprobs": None, "finish_reason": None, **ids}]})
            offsets[n] = len(text)
    async for n, tokens in answer.stream:
        answer.generated += len(tokens)
        text, reason = "".join(token.text for token in tokens), tokens[-1].finish_reason
        choice: dict[str, Any] = {"index": n, "text": text, "logprobs": None, "finish_reason": reason}
        if body.logprobs is not None:
            logprobs = Logprobs(tokenizer, offsets[n])
            logprobs.extend(tokens)
            choice["logprobs"], offsets[n] = logprobs.as_json(), logprobs.offset
        if body.return_token_ids:
            choice["token_ids"] = [token.id for token in tokens]
        if text or choice["logprobs"] or body.return_token_ids or reason:
            yield event({**start, "choices": [choice]})
    if usage:
        yield event({**start, "choices": [], "usage": answer.usage()})
