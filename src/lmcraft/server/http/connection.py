"""HTTP/1.1 connections that time out if headers arrive too slowly, or if the client does not read."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lmcraft.server.limits import Limits


def connection_class(limits: Limits) -> type[H11Protocol]:
    """The protocol class for `uvicorn.Config(http=...)`, with these limits."""
    return type("TimedH11Protocol", (TimedH11Protocol,), {"limits": limits})


class TimedH11Protocol(H11Protocol):
    """Closes a connection whose request headers take too long (slow loris), or whose client does not read the response."""

    limits = Limits()
    _headers_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
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
