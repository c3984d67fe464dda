"""`POST /v1/responses`: a chat completion in the words of OpenAI's newer endpoint."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from lmcraft.server.http.openai_format import Streamed, event, head
from lmcraft.server.http.protocol.chat import ChatRequest
from lmcraft.server.http.protocol.responses import ResponsesRequest
from lmcraft.server.http.request_builder import ask_chat
from lmcraft.server.http.routes.chat import Choice
from lmcraft.server.http.state import Answer, begin, serving_of, until_gone
from lmcraft.server.http.tool_calls import Call

router = APIRouter()


@router.post("/v1/responses")
async def responses(body: ResponsesRequest, request: Request) -> Response:
    """Answer; streamed as typed events if asked for."""
    chat = body.as_chat()
    limits, owner = serving_of(request).limits, request.state.owner
    answer = await begin(request, body.model, lambda served: ask_chat(served, chat, owner, limits))
    start = _start(answer, body)
    if body.stream:
        return Streamed(_events(answer, chat, start), answer)
    try:
        choice = await until_gone(request, _grown(answer, chat))
    finally:
        answer.end()
    message = f"msg_{uuid4().hex}"
    output = [_message(message, choice.text, "completed")] if choice.text else []
    output += [_call(call) for call in (choice.parser.calls if choice.parser else [])]
    return JSONResponse(_ended(start, answer, choice, output))


async def _grown(answer: Answer, chat: ChatRequest) -> Choice:
    assert answer.stream is not None
    choice = Choice.of(chat)
    async for _, tokens in answer.stream:
        answer.generated += len(tokens)
        choice.take(tokens)
    return choice


def _start(answer: Answer, body: ResponsesRequest) -> dict[str, Any]:
    given = head("resp", "response", answer.served.name)
    echoed = body.model_dump(exclude_none=True, by_alias=True, exclude={"model", "input", "stream"})
    defaults: dict[str, Any] = {
        "instructions": None,
        "tools": [],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "metadata": {},
    }
    whole = {"id": given["id"], "object": "response", "created_at": given["created"], "model": given["model"]}
    whole |= {"status": "in_progress", "error": None, "incomplete_details": None, "output": [], "usage": None}
    return {**whole, **defaults, **echoed}


def _ended(start: dict[str, Any], answer: Answer, choice: Choice, output: list[dict[str, Any]]) -> dict[str, Any]:
    usage = answer.usage()
    short = choice.finish_reason == "length"
    return {
        **start,
        "status": "incomplete" if short else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if short else None,
        "output": output,
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(name: str, text: str, status: str) -> dict[str, Any]:
    return {"id": name, "type": "message", "role": "assistant", "status": status, "content": [_part(text)] if text else []}


def _call(call: Call) -> dict[str, Any]:
    said = {"call_id": call.id, "name": call.name, "arguments": call.arguments}
    return {"id": f"fc_{uuid4().hex}", "type": "function_call", "status": "completed", **said}


class _Numbered:
    """Events, each with its number."""

    def __init__(self) -> None:
        self.number = -1

    def __call__(self, kind: str, **fields: Any) -> bytes:
        self.number += 1
        return event({"type": kind, "sequence_number": self.number, **fields}, kind)


async def _events(answer: Answer, chat: ChatRequest, start: dict[str, Any]) -> AsyncIterator[bytes]:
    assert answer.stream is not None
    say, choice, name = _Numbered(), Choice.of(chat), f"msg_{uuid4().hex}"
    output: list[dict[str, Any]] = []
    yield say("response.created", response=start)
    yield say("response.in_progress", response=start)
    begun = False
    async for _, tokens in answer.stream:
        answer.generated += len(tokens)
        text, calls = choice.take(tokens)
        if text and not begun:
            begun = True
            yield say("response.output_item.added", output_index=0, item=_message(name, "", "in_progress"))
            yield say("response.content_part.added", item_id=name, output_index=0, content_index=0, part=_part(""))
        if text:
            where = {"item_id": name, "output_index": 0, "content_index": 0}
            yield say("response.output_text.delta", **where, delta=text, logprobs=[])
        output += [_call(call) for call in calls]
    whole = [_message(name, choice.text, "completed")] if begun else []
    for some in _closing(say, choice.text, name, begun=begun):
        yield some
    for n, item in enumerate(output, len(whole)):
        for some in _called(say, item, n):
            yield some
    ended = _ended(start, answer, choice, [*whole, *output])
    yield say(f"response.{ended['status']}", response=ended)


def _closing(say: _Numbered, text: str, name: str, *, begun: bool) -> Iterator[bytes]:
    if not begun:
        return
    where = {"item_id": name, "output_index": 0, "content_index": 0}
    yield say("response.output_text.done", **where, text=text, logprobs=[])
    yield say("response.content_part.done", **where, part=_part(text))
    yield say("response.output_item.done", output_index=0, item=_message(name, text, "completed"))


def _called(say: _Numbered, item: dict[str, Any], n: int) -> Iterator[bytes]:
    yield say("response.output_item.added", output_index=n, item=item | {"status": "in_progress", "arguments": ""})
    where = {"item_id": item["id"], "output_index": n}
    yield say("response.function_call_arguments.delta", **where, delta=item["arguments"])
    yield say("response.function_call_arguments.done", **where, name=item["name"], arguments=item["arguments"])
    yield say("response.output_item.done", output_index=n, item=item)
