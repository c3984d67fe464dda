"""Headers of responses, and clients that do not read."""

import asyncio
import time

import pytest
from starlette.types import Message, Receive, Scope, Send

from lmcraft.server.http.middleware.security import SecurityMiddleware
from tests.server.http.middleware.asgi import QUICK_LIMITS, send_request


@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"content-length": "101"}])
def test_every_response_has_the_security_headers(headers: dict[str, str]) -> None:
    response = send_request(headers=headers).headers
    assert response["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert response["x-content-type-options"] == "nosniff"
    assert response["referrer-policy"] == "no-referrer"
    assert response["cross-origin-opener-policy"] == response["cross-origin-resource-policy"] == "same-origin"
    assert response["cache-control"] == "no-store"


def test_other_headers_stay_and_pages_choose_their_caching() -> None:
    for path in ("/", "/pages/main.js"):
        assert send_request(path=path).headers["cache-control"] == "public"
    assert send_request().headers["x-own"] == "1"


def test_head_is_get_without_the_body() -> None:
    exchange = send_request("HEAD")
    assert exchange.calls == [("GET", b"")]
    assert (exchange.status, exchange.body) == (200, b"")


def test_a_client_that_does_not_read_is_dropped() -> None:
    start, failures = time.monotonic(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for _ in range(3):
            try:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except ConnectionError as error:  # further messages fail immediately
                failures.append(error)
        raise RuntimeError("an exception after the disconnect is not an error")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(10)

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    asyncio.run(SecurityMiddleware(app, limits=QUICK_LIMITS)(scope, receive, send))
    assert len(failures) == 3
    assert time.monotonic() - start < 1
