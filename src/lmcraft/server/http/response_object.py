"""The response object of /v1/responses while its answer is generated, and the events of its stream."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any
from uuid import uuid4

from lmcraft.server.errors import ApiError
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
from lmcraft.server.http.openai_format import response_fields, sse_event
from lmcraft.server.http.protocol.items import ID_PREFIXES, InputItem, item_json
from lmcraft.server.http.protocol.responses import ResponsesRequest
from lmcraft.server.http.state import Generation
from lmcraft.server.http.tool_calls import Call

Json = dict[str, Any]
INCOMPLETE_REASONS = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""The reasons of an incomplete response, by the finish reason of a chat completion."""


class ResponseObject:
    """The response to a request; its ids and the request's settings stay the same from the first event to the last.

    The id of an item contains that of its response, so that an item reference leads to the response that has the item.
    """

    def __init__(self, body: ResponsesRequest, generation: Generation) -> None:
        self._number = uuid4().hex
        self._generation = generation
        fields = response_fields("resp", "response", generation.served.name)
        self._fields: Json = {
            "id": f"resp_{self._number}",
            "object": "response",
            "created_at": fields["created"],
            "model": fields["model"],
            **_request_fields(body),
            **self._sampling_fields(),
        }

    def _sampling_fields(self) -> Json:
        config = self._generation.prepared.sequences[0].request.config
        return {"temperature": 0.0 if config.greedy else config.temperature, "top_p": config.top_p}

    def input_items(self, items: Sequence[InputItem]) -> list[Json]:
        """The items of the request as they are stored and listed."""
        return [item_json(item, f"{ID_PREFIXES[item.type]}_{self._number}_i{n}") for n, item in enumerate(items)]

    def item(self, index: int, block: Block, status: str = "completed") -> Json:
        """The output item of a block."""
        if isinstance(block, Call):
            call = {"call_id": block.id, "name": block.name, "arguments": block.arguments}
            return {"id": f"fc_{self._number}_{index}", "type": "function_call", "status": status, **call}
        content = [] if status == "in_progress" else [block_part(block)]
        if isinstance(block, ThoughtBlock):
            item_id = f"{ID_PREFIXES['reasoning']}_{self._number}_{index}"
            return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": content}
        fields = {"type": "message", "role": "assistant", "status": status, "content": content}
        return {"id": f"msg_{self._number}_{index}", **fields}

    def in_progress(self) -> Json:
        """The response before its first token."""
        return {**self._fields, "status": "in_progress", "output": [], "usage": None}

    def failed(self, error: ApiError) -> Json:
        """The response after an error."""
        code = error.code or ("server_error" if error.status >= 500 else "invalid_prompt")
        return {**self.in_progress(), "status": "failed", "error": {"code": code, "message": error.message}}

    def final(self, answer: AnswerBlocks) -> Json:
        """The response with its whole answer."""
        reason = INCOMPLETE_REASONS.get(answer.finish_reason or "")
        items = [self.item(n, block, _status(answer, n)) for n, block in enumerate(answer.blocks)]
        return {
            **self._fields,
            "status": "completed" if reason is None else "incomplete",
            "incomplete_details": None if reason is None else {"reason": reason},
            "output": items,
            "usage": self._usage(answer),
        }

    def _usage(self, answer: AnswerBlocks) -> Json:
        usage = self._generation.usage()
        return {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": self._generation.cached_tokens, "cache_write_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": answer.thought_tokens},
            "total_tokens": usage["total_tokens"],
            **self._generation.energy_usage(),
        }


def _status(answer: AnswerBlocks, index: int) -> str:
    """The status of a complete block: the last text of a truncated answer is incomplete."""
    is_last = index == len(answer.blocks) - 1
    return "incomplete" if is_last and answer.finish_reason == "length" else "completed"


def block_part(block: TextBlock | ThoughtBlock | RefusalBlock) -> Json:
    """The content part of a text, of thoughts or of a refusal."""
    if isinstance(block, RefusalBlock):
        return {"type": "refusal", "refusal": block.text}
    if isinstance(block, ThoughtBlock):
        return {"type": "reasoning_text", "text": block.text}
    return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": block.logprobs}


def _request_fields(body: ResponsesRequest) -> Json:
    """The request's settings, as the response repeats them."""
    settings = body.model_dump(exclude_none=True, by_alias=True)
    defaults: Json = {
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "background": False,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": body.store,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "top_logprobs": 0,
        "truncation": body.truncation,
        "user": None,
        "prompt_cache_key": None,
        "safety_identifier": None,
    }
    return {
        **defaults,
        **{name: settings[name] for name in defaults if name in settings},
        "tools": [tool.as_json() for tool in body.tools or ()],
        "service_tier": "default",
    }


class ResponseEvents:
    """Formats the events of a stream, each with the next sequence number."""

    def __init__(self, response: ResponseObject) -> None:
        self._response = response
        self._next_number = 0

    def _event(self, event_type: str, **fields: Any) -> bytes:
        number, self._next_number = self._next_number, self._next_number + 1
        return sse_event({"type": event_type, "sequence_number": number, **fields}, event_type)

    def failed(self, error: ApiError) -> bytes:
        """The last event after an error."""
        return self._event("response.failed", response=self._response.failed(error))

    def final(self, response: Json) -> bytes:
        """The last event, with the whole response."""
        return self._event(f"response.{response['status']}", response=response)

    async def of_answer(self, answer: AnswerBlocks) -> AsyncIterator[bytes]:
        """The events from the first one to the end of the last output item."""
        initial = self._response.in_progress()
        yield self._event("response.created", response=initial)
        yield self._event("response.in_progress", response=initial)
        async for event in answer:
            match event:
                case BlockStart(index, block):
                    for started in self._start(index, block):
                        yield started
                case TextDelta(index, text, logprobs):
                    fields = self._part_fields(index, TextBlock())
                    yield self._event("response.output_text.delta", **fields, delta=text, logprobs=logprobs)
                case ThoughtDelta(index, text):
                    yield self._event(
                        "response.reasoning_text.delta", **self._part_fields(index, ThoughtBlock()), delta=text
                    )
                case RefusalDelta(index, text):
                    yield self._event("response.refusal.delta", **self._part_fields(index, RefusalBlock()), delta=text)
                case BlockEnd(index, block):
                    for ended in self._end(index, block, _status(answer, index)):
                        yield ended

    def _start(self, index: int, block: Block) -> Iterator[bytes]:
        item = self._response.item(index, block, "in_progress")
        if isinstance(block, Call):
            yield self._event("response.output_item.added", output_index=index, item=item | {"arguments": ""})
            fields = {"item_id": item["id"], "output_index": index}
            yield self._event("response.function_call_arguments.delta", **fields, delta=block.arguments)
            return
        yield self._event("response.output_item.added", output_index=index, item=item)
        fields = self._part_fields(index, block)
        yield self._event("response.content_part.added", **fields, part=block_part(type(block)()))

    def _end(self, index: int, block: Block, status: str) -> Iterator[bytes]:
        item = self._response.item(index, block, status)
        if isinstance(block, Call):
            fields = {"item_id": item["id"], "output_index": index, "name": block.name}
            yield self._event("response.function_call_arguments.done", **fields, arguments=block.arguments)
        else:
            part, fields = block_part(block), self._part_fields(index, block)
            if isinstance(block, ThoughtBlock):
                yield self._event("response.reasoning_text.done", **fields, text=block.text)
            elif isinstance(block, RefusalBlock):
                yield self._event("response.refusal.done", **fields, refusal=block.text)
            else:
                yield self._event("response.output_text.done", **fields, text=block.text, logprobs=block.logprobs)
            yield self._event("response.content_part.done", **fields, part=part)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _part_fields(self, index: int, block: Block) -> Json:
        return {"item_id": self._response.item(index, block)["id"], "output_index": index, "content_index": 0}
