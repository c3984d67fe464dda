"""The listening socket, and uvicorn with our limits."""

import asyncio
import faulthandler
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

import uvicorn
from starlette.types import ASGIApp

from lmcraft.errors import UserError
from lmcraft.server.http.connection import connection_class
from lmcraft.server.limits import Limits

MAX_PENDING_CONNECTIONS = 1024
MAX_ACCEPTED_TOGETHER = 16  # of them, before those in excess are closed; fewer than the files that are kept in reserve
KEEP_ALIVE_SECONDS = 30
LAST_EVENT_SECONDS = 1.0  # for streams to send an error event when the time to drain is over
END_SECONDS = 3.0  # after that time, for everything else
FLUSH_SECONDS = 0.5
LOCKED_SECONDS = 1.0  # after that, if a thread holds Python's lock


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket. Called before the models load, so that a port in use is reported immediately.

    Raises:
        UserError: the address or the port is not available.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=MAX_PENDING_CONNECTIONS)
    except (OSError, OverflowError) as error:
        raise UserError(f"cannot listen on host={host} port={port} ({error}); choose another") from error


class _Server(uvicorn.Server):
    """The first signal drains running requests, the second ends the process immediately.

    Args:
        config: uvicorn's.
        limits: `drain_timeout`.
        end_work: called when the time to drain is over; ends the requests that still run.
        on_signal: called with the seconds after which the process must have ended.
    """

    def __init__(
        self, config: uvicorn.Config, limits: Limits, end_work: Callable[[], None], on_signal: Callable[[float], None]
    ) -> None:
        super().__init__(config)
        self._limits, self._end_work, self._on_signal = limits, end_work, on_signal

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self._on_signal(END_SECONDS + (0.0 if self.should_exit else self._limits.drain_timeout))
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            listener.listen(MAX_PENDING_CONNECTIONS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        timer = asyncio.get_running_loop().call_later(self._limits.drain_timeout, self._end_work)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
        if self.force_exit:  # uvicorn would cancel the application's lifespan, and log a traceback
            await self.lifespan.shutdown()


def make_server(
    app: ASGIApp,
    limits: Limits,
    log_level: str = "info",
    *,
    end_work: Callable[[], None] = lambda: None,
    on_signal: Callable[[float], None] = lambda seconds: None,
) -> uvicorn.Server:
    """A uvicorn server for the application; `run(sockets=[...])` serves until SIGTERM or SIGINT.

    After the signal it accepts no more requests, and gives running ones `drain_timeout` seconds to finish. Then it calls
    `end_work`, and cancels the requests that do not end by themselves. `on_signal` is called with the seconds after which
    the process must have ended, whatever its threads do.
    """
    config = uvicorn.Config(
        app,
        http=connection_class(limits),
        ws="none",
        loop="asyncio",
        log_config=None,  # its logs go where all others go, and are scrubbed
        log_level=log_level,
        access_log=False,  # it would print query strings; the middleware logs requests without their words
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=limits.max_header_bytes,
        backlog=MAX_ACCEPTED_TOGETHER,
    )
    config.timeout_graceful_shutdown = limits.drain_timeout + LAST_EVENT_SECONDS  # type: ignore[assignment]
    return _Server(config, limits, end_work, on_signal)


def end_process_after(seconds: float) -> None:
    """End this process after some time: Python can interrupt neither a tokenizer nor a template that runs in a thread.

    If such a thread never lets another one run, the process ends a second later, without Python's help.
    """
    timer = threading.Timer(seconds, end_process)
    timer.daemon = True
    timer.start()
    faulthandler.dump_traceback_later(seconds + LOCKED_SECONDS, exit=True)


def end_process() -> NoReturn:
    """End this process now. The store has committed what it reported; Python's own end would wait for threads."""
    flushing = threading.Thread(target=_flush, daemon=True)
    flushing.start()
    flushing.join(FLUSH_SECONDS)
    os._exit(0)


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
