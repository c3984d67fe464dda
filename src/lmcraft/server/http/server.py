"""The listening socket, and uvicorn with our limits."""

import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from lmcraft.errors import UserError
from lmcraft.server.http.connection import connection_class
from lmcraft.server.limits import Limits

MAX_PENDING_CONNECTIONS = 1024
KEEP_ALIVE_SECONDS = 30


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
    """The first signal drains running requests, the second ends the process immediately."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def make_server(app: ASGIApp, limits: Limits, log_level: str = "info") -> uvicorn.Server:
    """A uvicorn server for the application; `run(sockets=[...])` serves until SIGTERM or SIGINT.

    After the signal it accepts no more requests, and gives running ones `drain_timeout` seconds to finish.
    """
    config = uvicorn.Config(
        app,
        http=connection_class(limits),
        ws="none",
        loop="asyncio",
        log_level=log_level,
        access_log=log_level == "debug",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(limits.drain_timeout),
        h11_max_incomplete_event_size=limits.max_header_bytes,
    )
    return _Server(config)
