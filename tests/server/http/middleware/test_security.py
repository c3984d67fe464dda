"""The middleware as a whole."""

import asyncio

import pytest
from starlette.types import Message, Receive, Scope, Send

from lmcraft.server.http.middleware.security import SecurityMiddleware
from tests.server.http.middleware.asgi import QUICK_LIMITS, send_request


def test_error_responses_are_reported() -> None:
    statuses: list[int] = []
    send_request(on_error=statuses.append)
    send_request(on_error=statuses.append, headers={"host": "evil.example"})
    assert statuses == [403]


def test_exceptions_of_the_application_propagate() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a bug")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    with pytest.raises(RuntimeError, match="a bug"):
        asyncio.run(SecurityMiddleware(app, limits=QUICK_LIMITS)(scope, receive, send))
