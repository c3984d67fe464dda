"""The socket and the process: uvicorn, with our bounds."""

import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from lmcraft.errors import UserError
from lmcraft.server.http.connection import protocol
from lmcraft.server.limits import Limits

BACKLOG = 1024


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, before the models are opened: a taken port is told at once.

    Raises:
        UserError: the address or the port cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        raise UserError(f"host={host} port={port} cannot be listened on ({error}): choose another") from error


class _Server(uvicorn.Server):
    """A second signal ends it at once; the first lets what runs end."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


def make_server(app: ASGIApp, limits: Limits, log_level: str = "info") -> uvicorn.Server:
    """What serves an application; `run(sockets=[...])` of it does until SIGTERM or SIGINT.

    Then no more is taken, and what runs has `drain_timeout` seconds to end.
    """
    config = uvicorn.Config(
        app,
        http=protocol(limits),
        ws="none",
        loop="asyncio",
        log_level=log_level,
        access_log=log_level == "debug",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(limits.drain_timeout),
        h11_max_incomplete_event_size=limits.max_header_bytes,
    )
    return _Server(config)
