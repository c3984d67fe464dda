"""The message object of /v1/messages while its answer is generated, and the events of its stream."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

from pydantic_core import from_json

from lmcraft.server.errors import ApiError, anthropic_error
from lmcraft.server.http.answer_blocks import (
    AnswerBlocks,
    Block,
    BlockEnd,
    BlockStart,
    RefusalBlock,
    RefusalDelta,
    TextBlock,
    TextDelta,
    ThoughtBlock,
    ThoughtDelta,
)
from lmcraft.server.http.openai_format import sse_event
from lmcraft.server.http.state import Generation
from lmcraft.server.http.tool_calls import Call

Json = dict[str, Any]
STOP_REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


class MessageObject:
    """The message that answers a request."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._id = f"msg_{uuid4().hex}"

    def started(self) -> Json:
        """The message before its first token."""
        return self._message([], {"stop_reason": None, "stop_sequence": None}, self._counts())

    def final(self, answer: AnswerBlocks) -> Json:
        """The message with its whole answer."""
        return self._message([block_json(block) for block in answer.blocks], stop_fields(answer), self.usage())

    def _message(self, content: list[Json], stop: Json, usage: Json) -> Json:
        fields = {"id": self._id, "type": "message", "role": "assistant", "model": self._generation.served.name}
        return {**fields, "content": content, **stop, "usage": usage}

    def usage(self) -> Json:
        """The tokens, and the energy if the request asks for it."""
        return {**self._counts(), **self._generation.energy_usage()}

    def _counts(self) -> Json:
        """The tokens so far; Anthropic counts those of the cache apart."""
        usage, cached = self._generation.usage(), self._generation.cached_tokens
        counts = {"input_tokens": usage["prompt_tokens"] - cached, "output_tokens": usage["completion_tokens"]}
        return {**counts, "cache_creation_input_tokens": 0, "cache_read_input_tokens": cached}


def block_json(block: Block) -> Json:
    """A content block."""
    if isinstance(block, TextBlock | RefusalBlock):
        return {"type": "text", "text": block.text}
    if isinstance(block, ThoughtBlock):
        return {"type": "thinking", "thinking": block.text, "signature": ""}
    return {"type": "tool_use", "id": block.id, "name": block.name, "input": call_input(block)}


def call_input(call: Call) -> Json:
    """The arguments of a call as an object, which Anthropic's form requires; other values are its field `value`.

    Of a call that was cut off, it has what can be read, without a text that is cut.
    """
    if call.is_cut:
        return _parse_cut(call.arguments)
    try:
        value = json.loads(call.arguments)
    except (ValueError, RecursionError):
        value = call.arguments
    return value if isinstance(value, dict) else {"value": value}


def _parse_cut(arguments: str) -> Json:
    try:
        value = from_json(arguments, allow_partial=True)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def stop_fields(answer: AnswerBlocks) -> Json:
    """Why a complete answer has ended."""
    reason = STOP_REASONS.get(answer.finish_reason or "", "stop_sequence" if answer.stop else "end_turn")
    fields: Json = {"stop_reason": reason, "stop_sequence": answer.stop if reason == "stop_sequence" else None}
    if reason == "refusal":
        fields["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": answer.refusal}
    return fields


async def message_events(message: MessageObject, answer: AnswerBlocks) -> AsyncIterator[bytes]:
    """The events of a stream."""
    yield _event("message_start", message=message.started())
    yield _event("ping")
    async for event in answer:
        match event:
            case BlockStart(index, block):
                started = block_json(block) | {"input": {}} if isinstance(block, Call) else block_json(type(block)())
                yield _event("content_block_start", index=index, content_block=started)
                if isinstance(block, Call):
                    written = block.arguments if block.is_cut else json.dumps(call_input(block), ensure_ascii=False)
                    delta = {"type": "input_json_delta", "partial_json": written}
                    yield _event("content_block_delta", index=index, delta=delta)
            case TextDelta(index, text, _):
                yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
            case RefusalDelta(index, text):
                yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
            case ThoughtDelta(index, text):
                yield _event("content_block_delta", index=index, delta={"type": "thinking_delta", "thinking": text})
            case BlockEnd(index, _):
                yield _event("content_block_stop", index=index)
    yield _event("message_delta", delta=stop_fields(answer), usage=message.usage())
    yield _event("message_stop")


def error_event(error: ApiError) -> bytes:
    """The last event after an error."""
    return sse_event(anthropic_error(error), "error")


def _event(event_type: str, **fields: Any) -> bytes:
    return sse_event({"type": event_type, **fields}, event_type)
