"""The listening socket, and the signals that end the server."""

import signal
import socket

import pytest

from lmcraft.errors import UserError
from lmcraft.server.http.server import listen, make_server
from lmcraft.server.limits import Limits


async def no_app(scope: object, receive: object, send: object) -> None:
    raise AssertionError("no request is expected")


def test_port_0_is_a_free_port_and_a_port_in_use_is_refused() -> None:
    with listen("127.0.0.1", 0) as listener:
        host, port = listener.getsockname()
        with socket.create_connection((host, port)):
            pass
        with pytest.raises(UserError, match=f"cannot listen on host=127.0.0.1 port={port} .*; choose another"):
            listen(host, port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99_999), ("no such host", 0), ("192.0.2.1", 0)])
def test_an_address_that_is_not_available_is_refused(host: str, port: int) -> None:
    with pytest.raises(UserError, match="cannot listen on"):
        listen(host, port)


def test_the_first_signal_drains_and_the_second_ends_the_server() -> None:
    server = make_server(no_app, Limits(drain_timeout=7, max_header_bytes=1234))
    assert server.config.timeout_graceful_shutdown == 7 and server.config.h11_max_incomplete_event_size == 1234
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit and not server.force_exit
    server.handle_exit(signal.SIGTERM, None)
    assert server.force_exit


def test_requests_are_logged_at_debug_level_only() -> None:
    assert not make_server(no_app, Limits(), "info").config.access_log
    assert make_server(no_app, Limits(), "debug").config.access_log
