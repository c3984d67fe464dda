"""`POST /v1/responses`: a chat completion in the form of OpenAI's newer endpoint."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import EventStreamResponse, response_fields, sse_event
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.protocol.responses import ResponsesRequest
from lmcraft.server.http.request_builder import build_chat
from lmcraft.server.http.routes.chat import ChatChoice
from lmcraft.server.http.state import Generation, cancel_on_disconnect, server_state, start_generation
from lmcraft.server.http.tool_calls import Call

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/responses")
async def responses(body: ResponsesRequest, request: Request) -> Response:
    """Answer a conversation; streamed as typed events if `stream` is set."""
    chat = body.as_chat()
    limits, owner = server_state(request).limits, request.state.owner
    generation = await start_generation(request, body.model, lambda served: build_chat(served, chat, owner, limits))
    initial = _initial_response(generation, body)
    if body.stream:
        return EventStreamResponse(_events(generation, chat, initial), generation)
    try:
        choice = await cancel_on_disconnect(request, _collect(generation, chat))
    finally:
        generation.finish()
    output = [_message_item(_new_id("msg"), choice.text, "completed")] if choice.text else []
    output += [_call_item(call) for call in (choice.parser.calls if choice.parser else [])]
    return JSONResponse(_final_response(initial, generation, choice, output))


async def _collect(generation: Generation, chat: ChatRequest) -> ChatChoice:
    choice = ChatChoice.start(chat)
    async for _, tokens in generation:
        choice.add(tokens)
    return choice


def _new_id(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex}"


def _initial_response(generation: Generation, body: ResponsesRequest) -> dict[str, Any]:
    """The response object before the first token, including the request's settings."""
    fields = response_fields("resp", "response", generation.served.name)
    settings = body.model_dump(exclude_none=True, by_alias=True, exclude={"model", "input", "stream"})
    return {
        "id": fields["id"],
        "object": "response",
        "created_at": fields["created"],
        "model": fields["model"],
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        "instructions": None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "metadata": {},
        **settings,
    }


def _final_response(
    initial: dict[str, Any], generation: Generation, choice: ChatChoice, output: list[dict[str, Any]]
) -> dict[str, Any]:
    usage = generation.usage()
    truncated = choice.finish_reason == "length"
    return {
        **initial,
        "status": "incomplete" if truncated else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if truncated else None,
        "output": output,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message_item(item_id: str, text: str, status: str) -> dict[str, Any]:
    content = [_text_part(text)] if text else []
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def _call_item(call: Call) -> dict[str, Any]:
    fields = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"id": _new_id("fc"), "type": "function_call", "status": "completed", **fields}


class _EventNumberer:
    """Formats events, each with the next sequence number."""

    def __init__(self) -> None:
        self._next_number = 0

    def __call__(self, event_type: str, **fields: Any) -> bytes:
        number, self._next_number = self._next_number, self._next_number + 1
        return sse_event({"type": event_type, "sequence_number": number, **fields}, event_type)


async def _events(generation: Generation, chat: ChatRequest, initial: dict[str, Any]) -> AsyncIterator[bytes]:
    event, choice, item_id = _EventNumberer(), ChatChoice.start(chat), _new_id("msg")
    part = {"item_id": item_id, "output_index": 0, "content_index": 0}
    calls: list[dict[str, Any]] = []
    has_text = False
    yield event("response.created", response=initial)
    yield event("response.in_progress", response=initial)
    async for _, tokens in generation:
        text, new_calls = choice.add(tokens)
        if text and not has_text:
            has_text = True
            yield event("response.output_item.added", output_index=0, item=_message_item(item_id, "", "in_progress"))
            yield event("response.content_part.added", **part, part=_text_part(""))
        if text:
            yield event("response.output_text.delta", **part, delta=text, logprobs=[])
        calls += [_call_item(call) for call in new_calls]
    messages = [_message_item(item_id, choice.text, "completed")] if has_text else []
    if has_text:
        yield event("response.output_text.done", **part, text=choice.text, logprobs=[])
        yield event("response.content_part.done", **part, part=_text_part(choice.text))
        yield event("response.output_item.done", output_index=0, item=messages[0])
    for n, item in enumerate(calls, len(messages)):
        for call_event in _call_events(event, item, n):
            yield call_event
    final = _final_response(initial, generation, choice, [*messages, *calls])
    yield event(f"response.{final['status']}", response=final)


def _call_events(event: _EventNumberer, item: dict[str, Any], n: int) -> Iterator[bytes]:
    yield event("response.output_item.added", output_index=n, item=item | {"status": "in_progress", "arguments": ""})
    fields = {"item_id": item["id"], "output_index": n}
    yield event("response.function_call_arguments.delta", **fields, delta=item["arguments"])
    yield event("response.function_call_arguments.done", **fields, name=item["name"], arguments=item["arguments"])
    yield event("response.output_item.done", output_index=n, item=item)
