"""Sends requests to the middleware with plain ASGI calls."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from lmcraft.server.http.middleware.security import SecurityMiddleware
from lmcraft.server.limits import Limits

QUICK_LIMITS = Limits(max_body_bytes=100, body_timeout=0.05, write_timeout=0.05, header_timeout=0.1)


@dataclass
class Exchange:
    """What the client and the application received."""

    messages: list[Message] = field(default_factory=list)
    calls: list[tuple[str, bytes]] = field(default_factory=list)
    """Method and body of every request that reached the application."""

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        pairs = self.messages[0]["headers"]
        headers = {name.decode(): value.decode() for name, value in pairs}
        assert len(headers) == len(pairs), "a header appears twice"
        return headers

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error


def send_request(
    method: str = "GET",
    path: str = "/v1/models",
    headers: dict[str, str] | None = None,
    parts: tuple[bytes, ...] = (b"",),
    *,
    limits: Limits = QUICK_LIMITS,
    scheme: str = "http",
    http_version: str = "1.1",
    endless: bool = False,
    **settings: Any,
) -> Exchange:
    """Send one request to an application that answers 'hello'; with `endless`, its body hangs after the parts."""
    exchange = Exchange()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        exchange.calls.append((scope["method"], (await receive())["body"]))
        start = {"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public"), (b"x-own", b"1")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"hello"})

    async def send(message: Message) -> None:
        exchange.messages.append(message)

    async def run() -> None:
        unsent = list(parts)

        async def receive() -> Message:
            if not unsent:
                await asyncio.sleep(10)
            part = unsent.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(unsent) or endless}

        all_headers = {"host": "localhost:8000", **(headers or {})}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in all_headers.items() if value != ""]
        scope = {"type": "http", "method": method, "path": path, "scheme": scheme, "headers": raw}
        scope["http_version"] = http_version
        await SecurityMiddleware(app, limits=limits, **settings)(scope, receive, send)

    asyncio.run(run())
    return exchange
