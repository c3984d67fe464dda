"""HTTP/1.1 connections: bounded in number; they time out if headers arrive too slowly, or if the client does not read."""

import asyncio
import json
import resource
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

MAX_CONNECTIONS = 10_000
RESERVED_FILES = (
    128  # open files that are no connections: the database, the pages, models, an upstream engine; at most half of all
)


def connection_class(limits: Limits) -> type[H11Protocol]:
    """The protocol class for `uvicorn.Config(http=...)`, with these limits."""
    fields = {"limits": limits, "max_connections": max_open_connections()}
    return type("TimedH11Protocol", (TimedH11Protocol,), fields)


def max_open_connections() -> int:
    """How many connections the system's limit on open files allows, beside the files that the server itself opens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = hard if soft != resource.RLIM_INFINITY else soft
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(MAX_CONNECTIONS, soft - min(RESERVED_FILES, soft // 2)))


class TimedH11Protocol(H11Protocol):
    """Closes a connection whose request headers take too long (slow loris), or whose client does not read the response."""

    limits = Limits()
    max_connections = 1000
    opened = 0.0
    _headers_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened = self.loop.time()
        if len(self.connections) > self.max_connections and not self._close_an_idle_connection():
            self._refuse(503, f"{self.max_connections} connections are already open; try again")
            return
        transport.set_write_buffer_limits(high=0)  # so that `pause_writing` is called as soon as a byte cannot be sent
        self._headers_timer = self.loop.call_later(self.limits.header_timeout, transport.abort)

    def handle_events(self) -> None:
        super().handle_events()
        # Between requests uvicorn's own timer runs, which the first byte of a request stops.
        incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not incomplete:
            _cancel(self._headers_timer)
            self._headers_timer = None
        elif self._headers_timer is None:
            self._headers_timer = self.loop.call_later(self.limits.header_timeout, self.transport.abort)

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress."""
        return self.cycle is None or self.cycle.response_complete

    def _close_an_idle_connection(self) -> bool:
        """Make room for this connection: close the oldest one that has no request; returns whether there was one."""
        others = [other for other in self.connections if isinstance(other, TimedH11Protocol) and other is not self]
        oldest = min((other for other in others if other.is_idle), key=lambda other: other.opened, default=None)
        if oldest is not None:
            oldest.transport.abort()
            self.connections.discard(oldest)
        return oldest is not None

    def _unsupported_upgrade_warning(self) -> None:
        """The request is answered without the upgrade, as HTTP allows; uvicorn's log would advise to install a package."""

    def send_400_response(self, msg: str) -> None:
        bound = f"{self.limits.max_header_bytes} bytes (max_header_bytes)"
        self._refuse(400, f"the request is not valid HTTP/1.1, or its headers are longer than {bound}; correct it")

    def _refuse(self, status: int, message: str) -> None:
        """Answer without a request, and close the connection."""
        content = json.dumps(ApiError(status, message).as_json()).encode()
        headers = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
        headers["x-request-id"] = uuid4().hex
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        try:
            for event in (h11.Response(status_code=status, headers=pairs), h11.Data(data=content), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer has begun
            pass
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._write_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        _cancel(self._headers_timer)
        _cancel(self._write_timer)
        super().connection_lost(exc)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
