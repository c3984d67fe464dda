"""`POST /v1/chat/completions`."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.inference.continuation import Token
from lmcraft.server.http import kept_responses
from lmcraft.server.http.chat_answer import ChatChoice, start_answer
from lmcraft.server.http.document_answers import Citation, citation_fields
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.judged_prompts import judge_chat
from lmcraft.server.http.openai_format import (
    STREAMED,
    EventStreamResponse,
    chat_logprob,
    prompt_logprobs,
    response_fields,
    sse_event,
    stop_reason,
)
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.shown_tokens import ShownTokens
from lmcraft.server.http.state import Generation, cancel_on_disconnect
from lmcraft.tokenizer.tokenizer import Tokenizer

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/chat/completions", responses=STREAMED)
async def chat_completions(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation; streamed if `stream` is set."""
    include_usage = body.includes_usage
    body, judged = await judge_chat(request, body)
    generation = await start_answer(request, body, body.template_fields(), names=body.names(), judged=judged)
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


async def _collect(generation: Generation, body: ChatRequest) -> dict[str, Any]:
    """All choices in one response."""
    tokenizer = generation.served.model.tokenizer
    choices = [ChatChoice.start(body, generation) for _ in generation.prepared.sequences]
    shown = [ShownTokens(tokenizer) for _ in choices]
    async for n, piece in generation:
        choices[n].add(piece)
        if body.logprobs:
            choices[n].logprobs += _logprobs(shown[n].put(piece.tokens), tokenizer, body)
    fields = response_fields("chatcmpl", "chat.completion", generation.served.name)
    first, count = generation.prepared.sequences[0], body.prompt_logprobs
    scores = {} if generation.is_refused else prompt_logprobs(tokenizer, first, count)
    return {**_completion(fields, generation, choices, body), **_prompt_ids(generation, body), **scores}


def _logprobs(tokens: Sequence[Token], tokenizer: Tokenizer, body: ChatRequest) -> list[dict[str, Any]]:
    return [chat_logprob(tokenizer, token, with_ids=body.return_token_ids) for token in tokens]


def _completion(
    fields: dict[str, Any], generation: Generation, choices: Sequence[ChatChoice], body: ChatRequest
) -> dict[str, Any]:
    citations = generation.prepared.citations
    choices_json = [_choice_json(n, choice, body, citations) for n, choice in enumerate(choices)]
    return {**fields, "object": "chat.completion", "choices": choices_json, "usage": _usage(generation, choices)}


def _usage(generation: Generation, choices: Sequence[ChatChoice]) -> dict[str, Any]:
    details = {"reasoning_tokens": sum(choice.thought_tokens for choice in choices)}
    return {**generation.usage(), "completion_tokens_details": details}


def _prompt_ids(generation: Generation, body: ChatRequest) -> dict[str, Any]:
    return {"prompt_token_ids": list(generation.prepared.prompts[0])} if body.return_token_ids else {}


def _choice_json(n: int, choice: ChatChoice, body: ChatRequest, citations: Sequence[Citation]) -> dict[str, Any]:
    calls = choice.parser.calls if choice.parser is not None else []
    text = choice.shown_begun + choice.text + choice.refusal_paragraph
    message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
    message |= citation_fields(text, citations)
    if choice.refusal is not None:
        message["refusal"] = choice.refusal
    if choice.thoughts:
        message["reasoning_content"] = choice.thoughts
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
    choices = [ChatChoice.start(body, generation) for _ in generation.prepared.sequences]

    def chunk(n: int, delta: dict[str, Any], finish_reason: str | None = None, **extra: Any) -> dict[str, Any]:
        usage = {"usage": _usage(generation, choices) if body.repeats_usage else None} if include_usage else {}
        choice = {"index": n, "delta": delta, "logprobs": None, "finish_reason": finish_reason, **extra}
        return {**fields, "choices": [choice], **usage}

    shown = [ShownTokens(tokenizer) for _ in choices]
    for n, choice in enumerate(choices):
        begun = "" if generation.is_judged else choice.take_begun()
        yield sse_event(chunk(n, {"role": "assistant", "content": begun}) | _prompt_ids(generation, body))
    async for n, piece in generation:
        choice = choices[n]
        calls_before = len(choice.parser.calls) if choice.parser is not None else 0
        thoughts, text, calls = choice.add(piece)
        delta: dict[str, Any] = {"reasoning_content": thoughts} if thoughts else {}
        if choice.text or choice.finish_reason is not None:
            text = choice.take_begun() + text
        if text := text + choice.refusal_paragraph:
            delta["content"] = text
        if choice.refusal is not None:
            delta["refusal"] = choice.refusal
        if calls:
            delta["tool_calls"] = [{"index": calls_before + i, **call.as_json()} for i, call in enumerate(calls)]
        extra: dict[str, Any] = {}
        if choice.finish_reason is not None:
            extra["stop_reason"] = stop_reason(choice.last_token, body.stop_token_ids)
            delta |= citation_fields(choice.shown_begun + choice.text, generation.prepared.citations)
        tokens = shown[n].put(piece.tokens) if body.logprobs else piece.tokens
        if body.logprobs:
            content = _logprobs(tokens, tokenizer, body)
            choice.logprobs += content
            if content or delta:
                extra["logprobs"] = {"content": content}
        if body.return_token_ids:
            hidden = () if choice.finish_reason is None else shown[n].held
            extra["token_ids"] = [token.id for token in (*tokens, *hidden)]
        if delta or extra or choice.finish_reason:
            yield sse_event(chunk(n, delta, choice.finish_reason, **extra))
    await _keep(request, body, _completion(fields, generation, choices, body))
    if include_usage:
        yield sse_event({**fields, "choices": [], "usage": _usage(generation, choices)})
