"""Reads the whole request body before the application sees it, within limits on its size and time."""

import asyncio

from starlette.datastructures import Headers
from starlette.types import Message, Receive

from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

IMPORT_PATH = "/api/import"
MAX_LENGTH_DIGITS = 18  # of a Content-Length header
DRAIN_SECONDS = 5.0


class ClientDisconnectedError(ConnectionError):
    """The client disconnected, or does not read the response."""


class RequestBody:
    """A request's body: `read` it, then hand `receive` to the application."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._content = bytearray()
        self._has_more = True
        self._delivered = False

    async def read(self, headers: Headers, path: str, limits: Limits) -> None:
        """Read the whole body.

        Raises:
            ApiError: it is too long (413), too slow (408), or its Content-Length is not a number (400).
            ClientDisconnectedError: the client disconnected.
        """
        is_import = path == IMPORT_PATH
        bound = "max_import_bytes" if is_import else "max_body_bytes"
        max_bytes = limits.max_import_bytes if is_import else limits.max_body_bytes
        too_long = ApiError(413, f"the body is longer than {max_bytes} bytes ({bound}); send less", code="body_too_long")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise ApiError(400, "Content-Length must be a number; send the body's length in bytes", code="content_length")
        if len(length) > MAX_LENGTH_DIGITS or int(length) > max_bytes:
            raise too_long
        try:
            async with asyncio.timeout(limits.body_timeout):
                while self._has_more:
                    self._content += await self._next_part()
                    if len(self._content) > max_bytes:
                        raise too_long
        except TimeoutError as error:
            message = f"the body did not arrive within {limits.body_timeout:g} s (body_timeout); send it faster, or less"
            raise ApiError(408, message, code="body_timeout") from error

    async def drain(self) -> None:
        """Read and discard the rest of the body for a while: closing the connection now would lose the response."""
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while self._has_more:
                    await self._next_part()
        except (TimeoutError, ClientDisconnectedError):
            pass

    async def receive(self) -> Message:
        """ASGI's receive: the whole body in one message, then whatever the client sends."""
        if self._delivered:
            return await self._receive()
        self._delivered = True
        return {"type": "http.request", "body": bytes(self._content), "more_body": False}

    async def _next_part(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError("the client disconnected")
        self._has_more = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part
