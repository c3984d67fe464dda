"""A stream that a gateway passes on: what the client reads if the engine stops in the middle."""

import asyncio
import json
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from lmcraft.server.http.forwarded_stream import Charge, ForwardedStream
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.upstream import UpstreamAnswer

TEXT = b'data: {"choices": [{"delta": {"content": "x"}, "finish_reason": null}]}\n\n'
COMPLETE = {
    "/v1/chat/completions": b"data: [DONE]\n\n",
    "/v1/completions": b'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\n',
    "/v1/responses": b'event: response.incomplete\ndata: {"type": "response.incomplete"}\n\n',
    "/v1/messages": b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
}


def passed_on(path: str, *chunks: bytes, error: Exception | None = None) -> bytes:
    """The bytes that the client reads."""

    async def stream() -> Any:
        for chunk in chunks:
            yield chunk
        if error is not None:
            raise error

    async def read() -> bytes:
        answer = UpstreamAnswer(200, httpx2.Headers(), b"", stream(), AsyncExitStack())
        response = ForwardedStream(answer, path, {}, Charge(Quotas(Keys()), "", 1, 1), None)
        return b"".join([bytes(chunk) async for chunk in response.body_iterator])  # type: ignore[arg-type]

    return asyncio.run(read())


@pytest.mark.parametrize("path", COMPLETE)
def test_a_stream_that_breaks_or_lacks_its_end_ends_with_an_error_event(path: str) -> None:
    assert passed_on(path, TEXT, COMPLETE[path]) == TEXT + COMPLETE[path]
    broken = passed_on(path, TEXT, TEXT[:20], error=httpx2.ReadError("reset"))
    for text, reason in ((broken, "ReadError"), (passed_on(path, TEXT), "end of stream")):
        event = text.decode().strip().split("\n\n")[-1]
        name, _, data = event.rpartition("data: ")
        body = json.loads(data)
        assert reason in body["error"]["message"] and "send the request again" in body["error"]["message"]
        assert name == ("" if path.endswith("completions") else "event: error\n")
        if path == "/v1/messages":
            assert body["type"] == "error" and body["error"]["type"] == "overloaded_error"
        else:
            assert body["error"]["code"] == "upstream_stopped"


def test_a_text_that_looks_like_an_end_is_none() -> None:
    escaped = json.dumps({"choices": [{"delta": {"content": '"finish_reason": "stop", "error": {}'}}]}).encode()
    assert b"upstream_stopped" in passed_on("/v1/completions", b"data: " + escaped + b"\n\n")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_openai_s_client_raises(path: str) -> None:
    text = passed_on(path, TEXT if path.endswith("completions") else b"", error=httpx2.ReadError("reset"))
    response = httpx2.Response(200, content=text, request=httpx2.Request("POST", "http://gateway"))
    client: Any = SimpleNamespace(_process_response_data=lambda **fields: fields["data"])
    decoder = openai._streaming.SSEDecoder()
    stream = openai.Stream(
        cast_to=dict, response=response, client=SimpleNamespace(_make_sse_decoder=lambda: decoder, **vars(client))
    )
    with pytest.raises(openai.APIError, match="the engine stopped in the middle of its answer"):
        list(stream)
