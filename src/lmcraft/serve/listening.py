"""The socket, apart from what then serves it: that is half a second's import, during which models can be opened."""

import socket

from lmcraft.errors import UserError

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
