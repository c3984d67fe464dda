"""`POST /v1/chat/completions`."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.server.http import kept_responses
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import (
    EventStreamResponse,
    chat_logprob,
    prompt_logprobs,
    response_fields,
    sse_event,
    stop_reason,
)
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.request_builder import build_chat
from lmcraft.server.http.state import (
    Generation,
    cancel_on_disconnect,
    list_unread_variables,
    server_state,
    start_generation,
)
from lmcraft.server.http.tool_calls import Call, CallFormat, ToolParser
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions")
async def chat_completions(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation; streamed if `stream` is set."""
    include_usage = body.includes_usage
    limits, owner = server_state(request).limits, request.state.owner
    generation = await start_generation(request, body.model, lambda served: build_chat(served, body, owner, limits))
    list_unread_variables(request, generation, body.reasoning_variables, "reasoning_effort")
    if body.stream:
        return EventStreamResponse(_events(generation, body, request, include_usage=include_usage), generation)
    try:
        completion = await cancel_on_disconnect(request, _collect(generation, body))
    finally:
        generation.finish()
    await _keep(request, body, completion)
    return JSONResponse(completion)


async def _keep(request: Request, body: ChatRequest, completion: dict[str, Any]) -> None:
    """Keep a completion if the request asks for it, with its messages and metadata."""
    if body.store:
        messages = [message.model_dump(exclude_none=True) for message in body.messages]
        items = [{"id": f"{completion['id']}-{n}", **message} for n, message in enumerate(messages)]
        await kept_responses.keep(request, {**completion, "metadata": body.metadata or {}}, items)


@dataclass
class ChatChoice:
    """One of the answers in progress."""

    parser: ToolParser | None
    """None if the answer is text alone."""
    hidden_tags: Mapping[int, str] = field(default_factory=dict)
    """Tags of calls that are special tokens, which decoding leaves out."""
    text: str = ""
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None
    last_token: Token | None = None

    @classmethod
    def start(cls, body: ChatRequest, tokenizer: Tokenizer) -> "ChatChoice":
        if not (names := [tool.function.name for tool in body.callable_tools]):
            return cls(None)
        call_format = CallFormat.of(tokenizer)
        max_calls = 1 if body.parallel_tool_calls is False else sys.maxsize
        parser = ToolParser(names, call_format.new_id, is_forced=body.forces_call, max_calls=max_calls)
        return cls(parser, call_format.hidden_tags)

    def add(self, tokens: Sequence[Token]) -> tuple[str, list[Call]]:
        """Add tokens; returns the text and the calls that they complete."""
        text = "".join(self.hidden_tags.get(token.id, "") + token.text for token in tokens)
        calls: list[Call] = []
        if self.parser is not None:
            text, calls = self.parser.put(text)
        if tokens[-1].finish_reason is not None:
            self.finish_reason = tokens[-1].finish_reason
            if self.parser is not None:
                last_text, last_calls = self.parser.end()
                text, calls = text + last_text, calls + last_calls
                if self.parser.calls:
                    self.finish_reason = "tool_calls"
        self.text += text
        self.last_token = tokens[-1]
        self.token_ids += [token.id for token in tokens]
        return text, calls


async def _collect(generation: Generation, body: ChatRequest) -> dict[str, Any]:
    """All choices in one response."""
    tokenizer = generation.served.model.tokenizer
    choices = [ChatChoice.start(body, tokenizer) for _ in generation.prepared.sequences]
    async for n, tokens in generation:
        choices[n].add(tokens)
        if body.logprobs:
            choices[n].logprobs += [chat_logprob(tokenizer, token, with_ids=body.return_token_ids) for token in tokens]
    fields = response_fields("chatcmpl", "chat.completion", generation.served.name)
    scores = prompt_logprobs(tokenizer, generation.prepared.sequences[0], body.prompt_logprobs)
    return {**_completion(fields, generation, choices, body), **_prompt_ids(generation, body), **scores}


def _completion(
    fields: dict[str, Any], generation: Generation, choices: Sequence[ChatChoice], body: ChatRequest
) -> dict[str, Any]:
    choices_json = [_choice_json(n, choice, body) for n, choice in enumerate(choices)]
    return {**fields, "object": "chat.completion", "choices": choices_json, "usage": generation.usage()}


def _prompt_ids(generation: Generation, body: ChatRequest) -> dict[str, Any]:
    return {"prompt_token_ids": list(generation.prepared.prompts[0])} if body.return_token_ids else {}


def _choice_json(n: int, choice: ChatChoice, body: ChatRequest) -> dict[str, Any]:
    calls = choice.parser.calls if choice.parser is not None else []
    text = body.echoed_text + choice.text
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    if calls:
        message["tool_calls"] = [call.as_json() for call in calls]
    fields = {"index": n, "message": message, "finish_reason": choice.finish_reason}
    fields["logprobs"] = {"content": choice.logprobs} if body.logprobs else None
    fields["stop_reason"] = stop_reason(choice.last_token, body.stop_token_ids)
    return {**fields, "token_ids": choice.token_ids} if body.return_token_ids else fields


async def _events(
    generation: Generation, body: ChatRequest, request: Request, *, include_usage: bool
) -> AsyncIterator[bytes]:
    tokenizer = generation.served.model.tokenizer
    fields = response_fields("chatcmpl", "chat.completion.chunk", generation.served.name)
    choices = [ChatChoice.start(body, tokenizer) for _ in generation.prepared.sequences]

    def chunk(n: int, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
        usage = {"usage": generation.usage() if body.repeats_usage else None} if include_usage else {}
        choice = {"index": n, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **extra}
        return {**fields, "choices": [choice], **usage}

    for n in range(len(choices)):
        yield sse_event(chunk(n, {"role": "assistant", "content": body.echoed_text}) | _prompt_ids(generation, body))
    async for n, tokens in generation:
        choice = choices[n]
        calls_before = len(choice.parser.calls) if choice.parser is not None else 0
        text, calls = choice.add(tokens)
        delta: dict[str, Any] = {"content": text} if text else {}
        if calls:
            delta["tool_calls"] = [{"index": calls_before + i, **call.as_json()} for i, call in enumerate(calls)]
        extra: dict[str, Any] = {}
        if choice.finish_reason is not None:
            extra["stop_reason"] = stop_reason(choice.last_token, body.stop_token_ids)
        if body.logprobs:
            content = [chat_logprob(tokenizer, token, with_ids=body.return_token_ids) for token in tokens]
            extra["logprobs"] = {"content": content}
            choice.logprobs += content
        if body.return_token_ids:
            extra["token_ids"] = [token.id for token in tokens]
        if delta or extra or choice.finish_reason:
            yield sse_event(chunk(n, delta, choice.finish_reason, **extra))
    await _keep(request, body, _completion(fields, generation, choices, body))
    if include_usage:
        yield sse_event({**fields, "choices": [], "usage": generation.usage()})
