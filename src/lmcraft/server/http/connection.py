"""uvicorn's HTTP/1.1 connections with time limits."""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from lmcraft.server.limits import Limits


def protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's HTTP with bounds of time, for `uvicorn.Config(http=...)`."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})


class GuardedProtocol(H11Protocol):
    """Ends a connection whose request headers take too long (slow loris), or that does not take what it is sent."""

    limits = Limits()
    _headers_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so `pause_writing` tells of every byte that is not taken
        self._headers_timer = self.loop.call_later(self.limits.header_timeout, transport.abort)

    def handle_events(self) -> None:
        super().handle_events()
        # Between requests uvicorn's own timer runs, which the first byte of a request stops.
        incomplete = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not incomplete:
            _stop(self._headers_timer)
            self._headers_timer = None
        elif self._headers_timer is None:
            self._headers_timer = self.loop.call_later(self.limits.header_timeout, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.limits.write_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self._write_timer)

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self._headers_timer)
        _stop(self._write_timer)
        super().connection_lost(exc)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
