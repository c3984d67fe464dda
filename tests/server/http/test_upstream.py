"""The connection to the engine behind a gateway, against a transport without sockets."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from lmcraft.server.errors import ApiError
from lmcraft.server.http import upstream as upstream_module
from lmcraft.server.http.upstream import Upstream, UpstreamAnswer
from lmcraft.server.limits import Limits
from tests.clock import set_clock

MODELS = {"object": "list", "data": [{"id": "big", "max_model_len": 4096}]}


def upstream_of(handler: Callable[[httpx2.Request], httpx2.Response], limits: Limits | None = None) -> Upstream:
    upstream = Upstream("http://engine:8000/v1/", "secret", limits or Limits())
    upstream._client = httpx2.AsyncClient(
        base_url=upstream.url, transport=httpx2.MockTransport(handler), headers=upstream._client.headers
    )
    return upstream


def test_models_are_listed_described_and_looked_up() -> None:
    requests: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json=MODELS)

    async def scenario() -> None:
        upstream = upstream_of(handle)
        assert await upstream.list_models() == MODELS["data"]
        [described] = await upstream.describe_models()
        assert (described["id"], described["kind"], described["context"]) == ("big", "chat", 4096)
        assert (await upstream.get_model("big"))["id"] == "big"
        with pytest.raises(ApiError, match="there is no model 'small' here; available: big"):
            await upstream.get_model("small")
        await upstream.check_health()
        await upstream.close()

    asyncio.run(scenario())
    assert {str(request.url) for request in requests} == {"http://engine:8000/v1/models"}
    assert requests[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("outcome", "status", "message"),
    [
        (httpx2.Response(500), 503, "answered /v1/models with status 500"),
        (httpx2.ConnectError("refused"), 503, "cannot be reached; start it"),
        (httpx2.ReadTimeout("slow"), 504, "took too long"),
    ],
)
def test_a_failing_engine_is_unhealthy(outcome: Any, status: int, message: str) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if isinstance(outcome, Exception):
            raise outcome
        response: httpx2.Response = outcome
        return response

    with pytest.raises(ApiError, match=message) as caught:
        asyncio.run(upstream_of(handle).check_health())
    assert caught.value.status == status


def test_a_slot_is_held_until_the_response_is_closed() -> None:
    async def scenario() -> None:
        upstream = upstream_of(lambda request: httpx2.Response(200, json={}), Limits(max_num_seqs=1, max_queue=1))
        answer = await upstream.forward("ada", "POST", "/v1/completions", b"{}")
        assert answer.status == 200 and answer.body == b"{}"
        waiting = asyncio.create_task(upstream.forward("bob", "POST", "/v1/completions", b"{}"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        with pytest.raises(ApiError, match="max_queue=1"):
            await upstream.forward("cid", "POST", "/v1/completions", b"{}")
        await answer.stack.aclose()
        await (await waiting).stack.aclose()

    asyncio.run(scenario())


class Breaking(httpx2.AsyncByteStream):
    """A body that breaks after some chunks."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        raise httpx2.RemoteProtocolError("incomplete chunked read")


EVENTS = {"content-type": "text/event-stream"}


def forwarded(*outcomes: Any, method: str = "POST", content: bytes = b"{}") -> tuple[UpstreamAnswer | ApiError, int]:
    """What a request ends with if the engine does these things, one for each attempt; and the number of attempts."""
    attempts = iter(outcomes)
    count = 0

    def handle(request: httpx2.Request) -> httpx2.Response:
        nonlocal count
        count += 1
        outcome = next(attempts)
        if isinstance(outcome, Exception):
            raise outcome
        response: httpx2.Response = outcome
        return response

    try:
        return asyncio.run(upstream_of(handle).forward("ada", method, "/v1/completions", content)), count
    except ApiError as error:
        return error, count


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.server.http.upstream.REPEAT_SECONDS", 0.0)


OPENINGS = (
    b': keep-alive\n\ndata: {"id": "a", "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}\n\n',
    b'data: {"choices":[{"delta":{"role":"assistant","content":null},"finish_reason":null}]}\r\n\r\n',
    b'data: {"choices":[{"delta":{"role":"assist',
    b'event: response.created\ndata: {"type":"response.created","response":{}}\n\n',
    b'event: response.in_progress\ndata: {"type": "response.in_progress"}\n\nevent: resp',
    b'event: message_start\ndata: {"type":"message_start"}\n\n',
    b'event: ping\ndata: {"type":"ping"}\n\n',
)
LOST: dict[str, Callable[[], Any]] = {
    "refused": lambda: httpx2.ConnectError("refused"),
    "silent": lambda: httpx2.RemoteProtocolError("disconnected"),
    "body broken": lambda: httpx2.Response(200, stream=Breaking(b"{")),
    "stream broken": lambda: httpx2.Response(200, stream=Breaking(), headers=EVENTS),
    "chat broken before its text": lambda: httpx2.Response(200, stream=Breaking(*OPENINGS[:3]), headers=EVENTS),
    "response broken before its text": lambda: httpx2.Response(200, stream=Breaking(*OPENINGS[3:5]), headers=EVENTS),
    "message broken before its text": lambda: httpx2.Response(200, stream=Breaking(*OPENINGS[5:]), headers=EVENTS),
    "proxy without an engine": lambda: httpx2.Response(500, text="Internal Server Error"),
}


@pytest.mark.parametrize("lost", LOST)
def test_a_request_whose_engine_dies_before_it_answers_is_sent_once_more(lost: str) -> None:
    answer, count = forwarded(LOST[lost](), httpx2.Response(200, json={"a": 1}))
    assert isinstance(answer, UpstreamAnswer) and (answer.status, answer.body, count) == (200, b'{"a":1}', 2)
    error, count = forwarded(LOST[lost](), LOST[lost]())
    assert isinstance(error, ApiError) and (error.status, error.headers["Retry-After"], count) == (503, "5", 2)


def test_a_stream_that_has_begun_is_passed_on() -> None:
    text = b'data: {"choices": [{"delta": {"role": "assistant", "content": "Hi"}}]}\n\n'

    async def read() -> bytes:
        upstream = upstream_of(lambda request: httpx2.Response(200, stream=Breaking(*OPENINGS[:2], text), headers=EVENTS))
        answer = await upstream.forward("ada", "POST", "/v1/completions", b"{}")
        assert answer.stream is not None
        received = b""
        with pytest.raises(httpx2.RemoteProtocolError):
            async for chunk in answer.stream:
                received += chunk
        await answer.stack.aclose()
        return received

    assert asyncio.run(read()) == OPENINGS[0] + OPENINGS[1] + text


def test_what_keeps_a_connection_open_is_not_held_back_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(0.0, 6.0)
    set_clock(monkeypatch, upstream_module, monotonic=lambda: next(seconds))
    answer, count = forwarded(httpx2.Response(200, stream=Breaking(OPENINGS[5], OPENINGS[6]), headers=EVENTS))
    assert isinstance(answer, UpstreamAnswer) and (answer.status, count) == (200, 1)


@pytest.mark.parametrize(
    ("outcome", "request_"),
    [
        pytest.param(httpx2.Response(500, json={"error": {}}), {}, id="an engine that explains its error"),
        pytest.param(httpx2.Response(504, text=""), {}, id="slow proxy"),
        pytest.param(httpx2.ReadTimeout("slow"), {}, id="slow"),
        pytest.param(httpx2.ConnectError("refused"), {"method": "DELETE", "content": b""}, id="deletion"),
    ],
)
def test_other_requests_are_sent_once(outcome: Any, request_: dict[str, Any]) -> None:
    assert forwarded(outcome, **request_)[1] == 1


def test_a_connection_that_times_out_is_unreachable() -> None:
    error, count = forwarded(httpx2.ConnectTimeout("no route"), httpx2.ConnectTimeout("no route"))
    assert isinstance(error, ApiError) and (error.code, count) == ("upstream_unreachable", 2)
