"""Limits on the request body."""

import asyncio
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from lmcraft.server.http.middleware.security import SecurityMiddleware
from tests.server.http.middleware.asgi import QUICK_LIMITS, send_request


def test_a_body_arrives_in_one_message() -> None:
    exchange = send_request("POST", parts=(b"a" * 50, b"", b"b" * 50))
    assert exchange.calls == [("POST", b"a" * 50 + b"b" * 50)]


def test_a_body_with_a_content_length_over_the_limit_is_refused_and_drained() -> None:
    exchange = send_request("POST", headers={"content-length": "101"}, parts=(b"x" * 100, b"x"))
    assert (exchange.status, exchange.calls) == (413, [])
    assert "100 bytes" in exchange.error["message"]
    assert exchange.headers["connection"] == "close"
    assert exchange.messages[-1] == {"type": "http.response.body"}


def test_the_bytes_of_a_body_are_counted() -> None:
    assert send_request("POST", parts=(b"x" * 60, b"x" * 60)).status == 413
    assert send_request("POST", headers={"content-length": "1"}, parts=(b"x" * 60, b"x" * 60)).status == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "1 0", "0x10"])
def test_a_content_length_that_is_not_a_number_is_refused(length: str) -> None:
    raw = length.encode().decode("latin-1")
    assert send_request("POST", headers={"content-length": raw}).status == 400
    assert send_request("POST", headers={"content-length": "9" * 5000}).status == 413


def test_a_slow_body_times_out() -> None:
    start = time.monotonic()
    exchange = send_request("POST", headers={"content-length": "20"}, parts=(b"x",), endless=True)
    assert (exchange.status, exchange.calls) == (408, [])
    assert time.monotonic() - start < 1


def test_a_disconnected_client_reaches_no_application() -> None:
    calls: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    asyncio.run(SecurityMiddleware(app, limits=QUICK_LIMITS)(scope, receive, send))
    assert calls == []
