"""Parts of OpenAI's response format, and event streams."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

from starlette.types import Message

from lmcraft.inference.continuation import Token
from lmcraft.server.errors import ApiError
from lmcraft.server.http.openai_format import (
    EventStreamResponse,
    chat_logprob,
    clamp_logprob,
    response_fields,
    sse_event,
    token_keys,
    token_text,
)
from tests.finetuning.chat import chat_tokenizer


def test_every_response_has_its_own_id() -> None:
    first, second = (response_fields("cmpl", "text_completion", "tiny") for _ in range(2))
    assert first["id"].startswith("cmpl-") and first["id"] != second["id"]
    assert (first["object"], first["model"]) == ("text_completion", "tiny")


def test_half_a_character_is_shown_as_a_replacement_and_as_bytes() -> None:
    tokenizer = chat_tokenizer()
    token_id = tokenizer.encode("€")[0]
    token = Token(row=0, id=token_id, logprob=float("-inf"), text="", finish_reason=None, alternatives=((token_id, -1.5),))
    entry = chat_logprob(tokenizer, token, with_ids=True)
    assert token_text(tokenizer, token_id) == entry["token"] == "�"
    assert bytes(entry["bytes"]) == tokenizer.token_bytes(token_id) and entry["token_id"] == token_id
    assert entry["logprob"] == clamp_logprob(float("-inf")) == -9999.0
    assert entry["top_logprobs"][0]["logprob"] == -1.5
    assert "token_id" not in chat_logprob(tokenizer, token, with_ids=False)["top_logprobs"][0]


def test_an_event_is_one_line_of_json_after_its_name() -> None:
    assert sse_event({"text": "天\n"}, "delta") == 'event: delta\ndata: {"text":"天\\n"}\n\n'.encode()
    assert sse_event({"text": "\ud800"}) == b'data: {"text":"?"}\n\n'
    breaks = "a\u2028b\u2029c\x85d"
    event = sse_event({"text": breaks}).decode()
    assert event.splitlines() == [event.strip(), ""] and json.loads(event.removeprefix("data: "))["text"] == breaks


def test_tokens_with_the_same_text_have_keys_of_their_own() -> None:
    tokenizer = chat_tokenizer()
    first, second = tokenizer.encode("€")[0], tokenizer.encode("é")[0]
    a = tokenizer.encode("a")[0]
    keys = token_keys(tokenizer, [first, second, a, 10**6, 10**6 + 1, a])
    assert keys == {first: "bytes:\\xe2", second: "bytes:\\xc3", a: "a", 10**6: "", 10**6 + 1: "token_id:1000001"}


def stream_response(events: AsyncIterator[bytes]) -> tuple[list[bytes], int]:
    """The chunks that a client receives, and how often the generation was finished."""
    sent: list[Message] = []
    finished: list[bool] = []
    generation = cast(Any, SimpleNamespace(finish=lambda: finished.append(True)))

    async def receive() -> Message:
        await asyncio.sleep(10)
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "POST", "headers": []}
    asyncio.run(EventStreamResponse(events, generation)(scope, receive, send))
    return [message["body"] for message in sent[1:] if message["body"]], len(finished)


def test_a_stream_ends_with_done_and_finishes_its_generation() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield sse_event({"n": 1})

    assert stream_response(events()) == ([b'data: {"n":1}\n\n', b"data: [DONE]\n\n"], 1)


def test_an_error_in_a_stream_is_an_event() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield sse_event({"n": 1})
        raise ApiError(504, "too slow", code="timeout")

    chunks, finished = stream_response(events())
    assert json.loads(chunks[1].removeprefix(b"data: "))["error"]["message"] == "too slow"
    assert chunks[2] == b"data: [DONE]\n\n" and finished == 1


def test_a_stream_can_end_otherwise() -> None:
    async def events() -> AsyncIterator[bytes]:
        yield b"a"
        raise ApiError(504, "too slow")

    response = EventStreamResponse(
        events(), cast(Any, SimpleNamespace()), error_event=lambda error: error.message.encode(), end=b""
    )

    async def collect() -> list[Any]:
        return [chunk async for chunk in response.body_iterator]

    assert asyncio.run(collect()) == [b"a", b"too slow"]
