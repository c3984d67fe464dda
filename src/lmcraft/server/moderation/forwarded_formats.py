"""How the endpoints that a gateway forwards write answers, and the refusals that it writes in their place."""

import time
from collections.abc import Iterator
from typing import Any, Protocol
from uuid import uuid4

from lmcraft.server.moderation.forwarded_texts import Json, TextSlot, text_slots

Slots = Iterator[tuple[int, TextSlot, bool]]
"""The number of the answer, one of its texts, and whether that text is a piece of one that grows."""


class AnswerFormat(Protocol):
    """The answers of an endpoint: one JSON value, or a stream of events."""

    def slots(self, event: Json, *, is_stream: bool) -> Slots:
        """The texts of a stream's event, or of a whole response, in their order."""

    def ended(self, event: Json) -> list[int]:
        """The answers of which no text follows."""

    def count(self, body: Json) -> int:
        """The number of answers to a request."""

    def without(self, event: Json, answer: int) -> Json | None:
        """An event without what it says about an answer; None if that is all it says."""

    def reopen(self, event: Json, answer: int) -> Json:
        """An event that does not say that an answer has ended."""

    def cut(self, response: Json, refusals: dict[int, str]) -> Json:
        """A whole response whose refused answers, of which the refused text has been removed, end with their refusals."""

    def refused(self, body: Json, refusal: str) -> Json:
        """The whole response to a request whose prompt is refused."""

    def events(self, body: Json, refusal: str, sent: list[Json], answer: int | None) -> list[Json]:
        """The events that end a stream, or one of its answers, after those that were sent. None: all answers, before any."""


class ChoiceFormat:
    """Chat completions and completions: answers are choices.

    Args:
        prefix: of ids.
        kind: the type of the object.
        is_chat: whether choices are messages.
    """

    def __init__(self, prefix: str, kind: str, *, is_chat: bool) -> None:
        self._prefix, self._kind, self._is_chat = prefix, kind, is_chat

    def slots(self, event: Json, *, is_stream: bool) -> Slots:
        for choice in _choices(event):
            for slot in text_slots(choice):
                yield choice.get("index", 0), slot, is_stream

    def ended(self, event: Json) -> list[int]:
        return [choice.get("index", 0) for choice in _choices(event) if choice.get("finish_reason") is not None]

    def count(self, body: Json) -> int:
        prompt = body.get("prompt")
        return int(body.get("n") or 1) * (len(prompt) if isinstance(prompt, list) else 1)

    def without(self, event: Json, answer: int) -> Json | None:
        choices = [choice for choice in _choices(event) if choice.get("index", 0) != answer]
        return {**event, "choices": choices} if choices or not event.get("choices") else None

    def reopen(self, event: Json, answer: int) -> Json:
        choices = [c | {"finish_reason": None} if c.get("index", 0) == answer else c for c in _choices(event)]
        return {**event, "choices": choices}

    def cut(self, response: Json, refusals: dict[int, str]) -> Json:
        for choice in _choices(response):
            if (refusal := refusals.get(choice.get("index", 0))) is not None:
                text = choice["message"].get("content") if self._is_chat else choice.get("text")
                choice.update(self._refusal(refusal, text or "", "message"))
        return response

    def refused(self, body: Json, refusal: str) -> Json:
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return {**self._fields(body, []), "choices": self._refusals(body, refusal, "message"), "usage": usage}

    def events(self, body: Json, refusal: str, sent: list[Json], answer: int | None) -> list[Json]:
        fields = self._fields(body, sent)
        if answer is None:
            return [{**fields, "choices": self._refusals(body, refusal, "delta")}]
        slots = (item for event in sent for item in self.slots(event, is_stream=True))
        text = "".join(slot.text for n, slot, _ in slots if n == answer)
        return [{**fields, "choices": [{"index": answer, **self._refusal(refusal, text, "delta")}]}]

    def _fields(self, body: Json, sent: list[Json]) -> Json:
        if sent:
            return {name: value for name, value in sent[-1].items() if name not in ("choices", "usage")}
        kind = f"{self._kind}.chunk" if body.get("stream") and self._is_chat else self._kind
        return {
            "id": f"{self._prefix}-{uuid4().hex}",
            "object": kind,
            "created": int(time.time()),
            "model": body.get("model"),
        }

    def _refusals(self, body: Json, refusal: str, part: str) -> list[Json]:
        return [{"index": n, **self._refusal(refusal, "", part)} for n in range(self.count(body))]

    def _refusal(self, refusal: str, text: str, part: str) -> Json:
        fields: Json = {"finish_reason": "content_filter", "logprobs": None}
        if not self._is_chat:
            return {"text": text if part == "message" else "", "refusal": refusal, **fields}
        paragraph = f"\n\n{refusal}" if text.strip() else refusal
        if part == "delta":
            return {"delta": {"content": paragraph, "refusal": refusal}, **fields}
        return {"message": {"role": "assistant", "content": text + paragraph, "refusal": refusal}, **fields}


class _SingleAnswer:
    """An endpoint with one answer for each request."""

    def count(self, body: Json) -> int:
        return 1

    def without(self, event: Json, answer: int) -> Json | None:
        return None

    def reopen(self, event: Json, answer: int) -> Json:
        return event


class MessageFormat(_SingleAnswer):
    """Anthropic's messages: one answer of several blocks."""

    def slots(self, event: Json, *, is_stream: bool) -> Slots:
        for name in ("content", "content_block", "delta", "message"):
            for slot in text_slots({name: event.get(name)}, str(event.get("index", ""))):
                yield 0, slot, is_stream

    def ended(self, event: Json) -> list[int]:
        return [0] if event.get("type") in ("content_block_stop", "message_delta", "message_stop") else []

    def cut(self, response: Json, refusals: dict[int, str]) -> Json:
        blocks = [block for block in response["content"] if block.get("text") or block.get("thinking")]
        return {**response, "content": [*blocks, {"type": "text", "text": refusals[0]}], **_stopped(refusals[0])}

    def refused(self, body: Json, refusal: str) -> Json:
        fields = {"id": f"msg_{uuid4().hex}", "type": "message", "role": "assistant", "model": body.get("model")}
        usage = {"input_tokens": 0, "output_tokens": 0}
        return self.cut({**fields, "content": [], "usage": usage}, {0: refusal})

    def events(self, body: Json, refusal: str, sent: list[Json], answer: int | None) -> list[Json]:
        events: list[Json] = []
        if not sent:
            message = {**self.refused(body, refusal), "content": [], "stop_reason": None, "stop_details": None}
            events.append({"type": "message_start", "message": message})
        started = [event["index"] for event in sent if event.get("type") == "content_block_start"]
        stopped = [event["index"] for event in sent if event.get("type") == "content_block_stop"]
        events += [{"type": "content_block_stop", "index": index} for index in started if index not in stopped]
        index = max(started, default=-1) + 1
        usage = {"output_tokens": len(sent)}
        return [
            *events,
            {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": refusal}},
            {"type": "content_block_stop", "index": index},
            {"type": "message_delta", "delta": {"stop_sequence": None, **_stopped(refusal)}, "usage": usage},
            {"type": "message_stop"},
        ]


class ResponseFormat(_SingleAnswer):
    """OpenAI's responses: one answer of several items."""

    def slots(self, event: Json, *, is_stream: bool) -> Slots:
        if not is_stream:
            yield from ((0, slot, False) for slot in text_slots({"output": event.get("output")}))
            return
        is_piece = str(event.get("type", "")).endswith(".delta")
        for name, value in event.items():
            if name == "response":
                yield from ((0, slot, False) for slot in text_slots({"output": value.get("output")}))
            elif name not in ("error", "message") and not isinstance(value, str):
                yield from ((0, slot, False) for slot in text_slots({name: value}))
        for slot in text_slots({name: event[name] for name in event if isinstance(event[name], str)}):
            path = f"{event.get('item_id')}.{event.get('content_index')}.{slot.key}"
            yield 0, TextSlot(event, slot.key, path), is_piece

    def ended(self, event: Json) -> list[int]:
        return [0] if str(event.get("type", "")).endswith((".done", ".completed", ".incomplete", ".failed")) else []

    def cut(self, response: Json, refusals: dict[int, str]) -> Json:
        items = [item for item in response["output"] if any(slot.text for slot in text_slots(item))]
        items = [item for item in items if item.get("type") in ("message", "reasoning")]
        return {**response, **_incomplete([*items, _refusal_item(refusals[0])])}

    def refused(self, body: Json, refusal: str) -> Json:
        fields = {
            "id": f"resp_{uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": body.get("model"),
        }
        settings: Json = {
            "error": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "tool_choice": "auto",
        }
        counts = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
        return {**fields, **settings, "tools": [], "usage": counts | details, **_incomplete([_refusal_item(refusal)])}

    def events(self, body: Json, refusal: str, sent: list[Json], answer: int | None) -> list[Json]:
        events: list[Json] = []
        response = next((event["response"] for event in sent if "response" in event), None)
        if response is None:
            response = {**self.refused(body, refusal), "status": "in_progress", "incomplete_details": None, "output": []}
            events += [{"type": f"response.{name}", "response": response} for name in ("created", "in_progress")]
        events += _close_item(sent)
        finished = [event["item"] for event in (*sent, *events) if event.get("type") == "response.output_item.done"]
        item = _refusal_item(refusal)
        index = max((event.get("output_index", -1) for event in sent), default=-1) + 1
        position = {"item_id": item["id"], "output_index": index, "content_index": 0}
        [part] = item["content"]
        opened = {**item, "status": "in_progress", "content": []}
        events += [
            {"type": "response.output_item.added", "output_index": index, "item": opened},
            {"type": "response.content_part.added", **position, "part": {"type": "refusal", "refusal": ""}},
            {"type": "response.refusal.delta", **position, "delta": refusal},
            {"type": "response.refusal.done", **position, "refusal": refusal},
            {"type": "response.content_part.done", **position, "part": part},
            {"type": "response.output_item.done", "output_index": index, "item": item},
            {"type": "response.incomplete", "response": {**response, **_incomplete([*finished, item])}},
        ]
        start = max((event.get("sequence_number", -1) for event in sent), default=-1) + 1
        return [{**event, "sequence_number": n} for n, event in enumerate(events, start)]


def _close_item(sent: list[Json]) -> list[Json]:
    """The events that end the item of a response that is open, with as much of its text as was sent."""
    last = max((n for n, event in enumerate(sent) if event.get("type") == "response.output_item.added"), default=None)
    if last is None or any(event.get("type") == "response.output_item.done" for event in sent[last:]):
        return []
    item = {**sent[last]["item"], "status": "incomplete"}
    index = {"output_index": sent[last].get("output_index")}
    events: list[Json] = []
    part = next((event for event in reversed(sent[last:]) if event.get("type") == "response.content_part.added"), None)
    if part is not None and not any(event.get("type") == "response.content_part.done" for event in sent[last:]):
        deltas = [event for event in sent[last:] if str(event.get("type")).endswith("_text.delta")]
        text = "".join(event["delta"] for event in deltas)
        position = {"item_id": part["item_id"], "content_index": part["content_index"], **index}
        kind = "reasoning_text" if part["part"]["type"] == "reasoning_text" else "output_text"
        written = {**part["part"], "text": text}
        item["content"] = [written]
        events += [
            {
                "type": f"response.{kind}.done",
                **position,
                "text": text,
                **({"logprobs": []} if kind == "output_text" else {}),
            },
            {"type": "response.content_part.done", **position, "part": written},
        ]
    return [*events, {"type": "response.output_item.done", **index, "item": item}]


def _choices(event: Json) -> list[Any]:
    return event.get("choices") or []


def _stopped(refusal: str) -> Json:
    details = {"type": "refusal", "category": "general_harms", "explanation": refusal}
    return {"stop_reason": "refusal", "stop_details": details}


def _refusal_item(refusal: str) -> Json:
    fields = {"id": f"msg_{uuid4().hex}", "type": "message", "role": "assistant", "status": "completed"}
    return {**fields, "content": [{"type": "refusal", "refusal": refusal}]}


def _incomplete(items: list[Json]) -> Json:
    return {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": items}


FORMATS: dict[str, AnswerFormat] = {
    "/v1/chat/completions": ChoiceFormat("chatcmpl", "chat.completion", is_chat=True),
    "/v1/completions": ChoiceFormat("cmpl", "text_completion", is_chat=False),
    "/v1/messages": MessageFormat(),
    "/v1/responses": ResponseFormat(),
}
"""By the path of the endpoint."""
