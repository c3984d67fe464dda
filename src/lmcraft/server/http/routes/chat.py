"""`POST /v1/chat/completions`."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.server.http.openai_format import Streamed, chat_logprob, event, head
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.request_builder import ask_chat
from lmcraft.server.http.state import Answer, begin, serving_of, until_gone
from lmcraft.server.http.tool_calls import Call, ToolParser

router = APIRouter()


@router.post("/v1/chat/completions")
async def chat_completions(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation; streamed if asked for."""
    usage = body.includes_usage
    limits, owner = serving_of(request).limits, request.state.owner
    answer = await begin(request, body.model, lambda served: ask_chat(served, body, owner, limits))
    if body.stream:
        return Streamed(_events(answer, body, usage), answer)
    try:
        return await until_gone(request, _whole(answer, body))
    finally:
        answer.end()


@dataclass
class Choice:
    """One of the answers as it grows."""

    parser: ToolParser | None
    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    @classmethod
    def of(cls, body: ChatRequest) -> "Choice":
        return cls(ToolParser(bare=body.forces_call) if body.offered else None)

    def take(self, tokens: Sequence[Token]) -> tuple[str, list[Call]]:
        """The text and the calls that became certain with some tokens."""
        text = "".join(token.text for token in tokens)
        calls: list[Call] = []
        if self.parser is not None:
            text, calls = self.parser.put(text)
        if tokens[-1].finish_reason is not None:
            self.finish_reason = tokens[-1].finish_reason
            if self.parser is not None:
                rest, more = self.parser.end()
                text, calls = text + rest, calls + more
                if self.parser.calls:
                    self.finish_reason = "tool_calls"
        self.text += text
        self.token_ids += [token.id for token in tokens]
        return text, calls


async def _whole(answer: Answer, body: ChatRequest) -> JSONResponse:
    """All choices at once."""
    assert answer.stream is not None
    tokenizer = answer.served.model.tokenizer
    choices = [Choice.of(body) for _ in answer.asked.sequences]
    async for n, tokens in answer.stream:
        answer.generated += len(tokens)
        choices[n].take(tokens)
        if body.logprobs:
            choices[n].logprobs += [chat_logprob(tokenizer, token, ids=body.return_token_ids) for token in tokens]
    said = [_choice(n, choice, body) for n, choice in enumerate(choices)]
    more = {"prompt_token_ids": list(answer.asked.prompts[0])} if body.return_token_ids else {}
    whole = {**head("chatcmpl", "chat.completion", answer.served.name), "choices": said, "usage": answer.usage(), **more}
    return JSONResponse(whole)


def _choice(n: int, choice: Choice, body: ChatRequest) -> dict[str, Any]:
    calls = choice.parser.calls if choice.parser is not None else []
    message: dict[str, Any] = {"role": "assistant", "content": choice.text if choice.text or not calls else None}
    if calls:
        message["tool_calls"] = [call.as_json() for call in calls]
    found = {"index": n, "message": message, "finish_reason": choice.finish_reason}
    found["logprobs"] = {"content": choice.logprobs} if body.logprobs else None
    return {**found, "token_ids": choice.token_ids} if body.return_token_ids else found


async def _events(answer: Answer, body: ChatRequest, usage: bool) -> AsyncIterator[bytes]:
    assert answer.stream is not None
    tokenizer = answer.served.model.tokenizer
    start = head("chatcmpl", "chat.completion.chunk", answer.served.name)
    chunk = partial(_chunk, start | ({"usage": None} if usage else {}))
    choices = [Choice.of(body) for _ in answer.asked.sequences]
    more = {"prompt_token_ids": list(answer.asked.prompts[0])} if body.return_token_ids else {}
    for n in range(len(choices)):
        yield event(chunk(n, {"role": "assistant", "content": ""}) | more)
    async for n, tokens in answer.stream:
        answer.generated += len(tokens)
        choice = choices[n]
        before = len(choice.parser.calls) if choice.parser is not None else 0
        text, calls = choice.take(tokens)
        delta: dict[str, Any] = {"content": text} if text else {}
        if calls:
            delta["tool_calls"] = [{"index": before + i, **call.as_json()} for i, call in enumerate(calls)]
        extra: dict[str, Any] = {}
        if body.logprobs:
            content = [chat_logprob(tokenizer, token, ids=body.return_token_ids) for token in tokens]
            extra["logprobs"] = {"content": content}
        if body.return_token_ids:
            extra["token_ids"] = [token.id for token in tokens]
        if delta or extra or choice.finish_reason:
            yield event(chunk(n, delta, choice.finish_reason, **extra))
    if usage:
        yield event({**start, "choices": [], "usage": answer.usage()})


def _chunk(
    start: dict[str, Any], n: int, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any
) -> dict[str, Any]:
    return {**start, "choices": [{"index": n, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **extra}]}
