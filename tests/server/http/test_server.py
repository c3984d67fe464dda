"""The listening socket, and the signals that end the server."""

import signal
import socket
import subprocess
import sys

import pytest

from lmcraft.errors import UserError
from lmcraft.server.http.server import END_SECONDS, LAST_EVENT_SECONDS, listen, make_server
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
    deadlines: list[float] = []
    server = make_server(no_app, Limits(drain_timeout=0.5, max_header_bytes=1234), on_signal=deadlines.append)
    assert server.config.timeout_graceful_shutdown == 0.5 + LAST_EVENT_SECONDS
    assert server.config.h11_max_incomplete_event_size == 1234
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit and not server.force_exit
    server.handle_exit(signal.SIGTERM, None)
    assert server.force_exit and deadlines == [END_SECONDS + 0.5, END_SECONDS]


def test_uvicorn_logs_no_requests_because_their_queries_hold_words() -> None:
    assert not make_server(no_app, Limits(), "debug").config.access_log


@pytest.mark.parametrize("work", ["time.sleep(600)", "re.match('(a+)+$', 40 * 'a' + 'b')"])
def test_the_process_ends_even_if_a_thread_holds_pythons_lock(work: str) -> None:
    code = f"import re, time; from lmcraft.server.http.server import end_process_after; end_process_after(0.2); {work}"
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, timeout=60).returncode in (0, 1)
