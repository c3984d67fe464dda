"""Sends responses: security headers, a timeout for every message, and error responses."""

import asyncio
import json
from collections.abc import Mapping

from starlette.types import Message, Send

from lmcraft.server.errors import ApiError, error_json
from lmcraft.server.http.middleware.body import ClientDisconnectedError, RequestBody

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
REQUEST_TIMEOUT_STATUS = 408


class ResponseSender:
    """Sends a response's messages to the client.

    Args:
        send: ASGI's send.
        timeout: seconds within which the client must accept each message.
        headers: added to the response; they replace the application's headers of the same names.
        without_body: omit the body, for HEAD.
    """

    def __init__(self, send: Send, timeout: float, headers: Mapping[str, str], *, without_body: bool) -> None:
        self._send, self._timeout, self._headers, self._without_body = send, timeout, headers, without_body
        self.status = 0
        """HTTP status of the response; 0 before it starts."""
        self.disconnected = False
        self._is_event_stream = False

    async def send(self, message: Message) -> None:
        """ASGI's send.

        Raises:
            ClientDisconnectedError: the client did not accept a message in time; also raised for every later message.
        """
        if self.disconnected:
            raise ClientDisconnectedError("the client does not read the response")
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._is_event_stream = any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ()))
            names = self._headers.keys()
            kept = [(name, value) for name, value in message.get("headers", ()) if name.decode("latin-1") not in names]
            message = {**message, "headers": [*kept, *encode_headers(self._headers)]}
        elif self._without_body and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        try:
            async with asyncio.timeout(self._timeout):
                await self._send(message)
        except TimeoutError as error:
            self.disconnected = True
            text = f"the client did not accept a message within {self._timeout:g} s (write_timeout)"
            raise ClientDisconnectedError(text) from error

    async def send_empty(self, status: int, headers: Mapping[str, str]) -> None:
        """Send a response without a body."""
        await self.send({"type": "http.response.start", "status": status, "headers": encode_headers(headers)})
        await self.send({"type": "http.response.body"})

    async def send_error(self, error: ApiError, body: RequestBody, path: str) -> None:
        """Send an error response in the form of the path, drain the request's body for a while, and close the connection."""
        content = json.dumps(error_json(error, path)).encode()
        headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        all_headers = encode_headers({**headers, **error.headers})
        await self.send({"type": "http.response.start", "status": error.status, "headers": all_headers})
        await self.send({"type": "http.response.body", "body": content, "more_body": True})
        if error.status != REQUEST_TIMEOUT_STATUS:  # a body that timed out gets no more time
            await body.drain()
        await self.send({"type": "http.response.body"})

    async def end_early(self, error: ApiError, path: str) -> None:
        """End the response with an error: as its body, or as the last event of a stream that has begun."""
        content = json.dumps(error_json(error, path)).encode()
        if not self.status:
            headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
            all_headers = encode_headers({**headers, **error.headers})
            await self.send({"type": "http.response.start", "status": error.status, "headers": all_headers})
        elif self._is_event_stream:
            content = b"event: error\ndata: " + content + b"\n\n"
        else:
            content = b""
        await self.send({"type": "http.response.body", "body": content})


def encode_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers in ASGI's form: lower-case names, as bytes."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
