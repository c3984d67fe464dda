"""Reads the whole request body before the application sees it, within limits on size and time, and on all open bodies."""

import asyncio
from collections import Counter

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

FILE_PATHS = {"/api/import", "/api/text"}  # a file of the user, which may be long
MAX_LENGTH_DIGITS = 18  # of a Content-Length header
DRAIN_SECONDS = 5.0
MAX_DRAIN_BYTES = 8 * 2**20


class ClientDisconnectedError(ConnectionError):
    """The client disconnected, or does not read the response."""


class BodyBudget:
    """The bytes of all open requests' bodies; a named owner may hold half of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._held: Counter[str] = Counter()

    def hold(self, owner: str, num_bytes: int) -> None:
        """Count further bytes of an owner.

        Raises:
            ApiError: there is no room for them (503).
        """
        share = self._max_bytes // 2 if owner else self._max_bytes
        if self._held.total() + num_bytes > self._max_bytes or self._held[owner] + num_bytes > share:
            message = f"the bodies of open requests fill {self._max_bytes} bytes (max_open_body_bytes); try again"
            raise ApiError(503, message, code="max_open_body_bytes", headers={"Retry-After": "1"})
        self._held[owner] += num_bytes

    def release(self, owner: str, num_bytes: int) -> None:
        """The owner's request has ended."""
        self._held[owner] -= num_bytes
        if not self._held[owner]:
            del self._held[owner]


class RequestBody:
    """A request's body: `read` it, then hand `receive` to the application; `close` it at the end."""

    def __init__(self, receive: Receive, budget: BodyBudget) -> None:
        self._receive, self._budget = receive, budget
        self._owner, self._num_held = "", 0
        self._content = bytearray()
        self._has_more = True
        self._delivered = False

    async def read(self, headers: Headers, path: str, owner: str, limits: Limits) -> None:
        """Read the whole body.

        Raises:
            ApiError: it is too long (413), too slow (408), its Content-Length is not a number (400), or the bodies of all
                requests are too long together (503).
            ClientDisconnectedError: the client disconnected.
        """
        self._owner = owner
        is_file = path in FILE_PATHS
        bound = "max_import_bytes" if is_file else "max_body_bytes"
        max_bytes = limits.max_import_bytes if is_file else limits.max_body_bytes
        message = f"the body is longer than {max_bytes} bytes ({bound}); send less"
        too_long = ApiError(413, message, code="body_too_long", values={"max_bytes": max_bytes})
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise ApiError(400, "Content-Length must be a number; send the body's length in bytes", code="content_length")
        if len(length) > MAX_LENGTH_DIGITS or int(length) > max_bytes:
            raise too_long
        try:
            async with asyncio.timeout(limits.body_timeout):
                while self._has_more:
                    part = await self._next_part()
                    if len(self._content) + len(part) > max_bytes:
                        raise too_long
                    self._budget.hold(owner, len(part))
                    self._num_held += len(part)
                    self._content += part
        except TimeoutError as error:
            message = f"the body did not arrive within {limits.body_timeout:g} s (body_timeout); send it faster, or less"
            raise ApiError(408, message, code="body_timeout", values={"seconds": limits.body_timeout}) from error

    @property
    def content(self) -> bytes:
        """What has been read, until the application receives it."""
        return bytes(self._content)

    async def drain(self) -> None:
        """Read and discard the rest of the body for a while: closing the connection now would lose the response."""
        self._content, num_bytes = bytearray(), 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._has_more and num_bytes < MAX_DRAIN_BYTES:
                    num_bytes += len(await self._next_part())
        except (TimeoutError, ClientDisconnectedError):
            pass

    async def receive(self) -> Message:
        """ASGI's receive: the whole body in one message, then whatever the client sends."""
        if self._delivered:
            return await self._receive()
        content, self._content, self._delivered = bytes(self._content), bytearray(), True
        return {"type": "http.request", "body": content, "more_body": False}

    def close(self) -> None:
        """The request has ended."""
        self._budget.release(self._owner, self._num_held)
        self._num_held = 0

    async def _next_part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError("the client disconnected")
        self._has_more = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part
