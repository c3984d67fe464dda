"""Timeouts of HTTP/1.1 connections, on real sockets."""

import asyncio
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from lmcraft.server.http.connection import connection_class, max_open_connections
from lmcraft.server.http.middleware.security import SecurityMiddleware
from lmcraft.server.limits import Limits
from tests.server.http.middleware.asgi import QUICK_LIMITS


@contextmanager
def listening(app: ASGIApp, limits: Limits) -> Iterator[tuple[str, int]]:
    """A real server with the middleware and the timed connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = SecurityMiddleware(app, limits=limits)
    config = uvicorn.Config(
        app, http=connection_class(limits), ws="none", lifespan="off", log_level="critical", loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("hello")(scope, receive, send)


def read_until(connection: socket.socket, end: bytes) -> bytes:
    received = b""
    while not received.endswith(end):
        part = connection.recv(65536)
        assert part, f"the connection was closed before {end!r}"
        received += part
    return received


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    received = b""
    connection.settimeout(2)
    try:
        while part := connection.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [b"", b"GET", REQUEST])
def test_incomplete_headers_close_the_connection(sent: bytes) -> None:
    with listening(hello, QUICK_LIMITS) as address, socket.create_connection(address) as connection:
        start = time.monotonic()
        connection.sendall(sent)
        assert read_all(connection) == b""
        assert 0.05 < time.monotonic() - start < 1


def test_slow_headers_close_even_a_reused_connection() -> None:
    with listening(hello, QUICK_LIMITS) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"\r\n")
        read_until(connection, b"hello")
        time.sleep(0.15)  # longer than header_timeout: waiting for the next request is fine
        connection.sendall(REQUEST + b"\r\n")
        read_until(connection, b"hello")
        start = time.monotonic()
        with pytest.raises(OSError):  # reset, or broken pipe
            for byte in REQUEST * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
        assert time.monotonic() - start < 1


def test_a_response_may_take_longer_than_the_header_timeout() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await hello(scope, receive, send)

    with listening(slow, QUICK_LIMITS) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"Connection: close\r\n\r\n")
        assert read_all(connection).endswith(b"hello")


def test_a_client_that_does_not_read_is_cut_off_even_in_the_last_message() -> None:
    ended = threading.Event()

    async def send_16_mb(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"x" * 2**24)(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    with listening(send_16_mb, QUICK_LIMITS) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"\r\n")
        assert ended.wait(1)
        assert len(read_all(connection)) < 2**24


def test_the_error_for_a_long_body_reaches_the_client() -> None:
    with listening(hello, QUICK_LIMITS) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        connection.sendall(b"x" * 8_000_000)
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(("files", "expected"), [(1024, 896), (128, 64), (16, 8), (1, 1)])
def test_few_open_files_leave_half_of_them_for_connections(
    monkeypatch: pytest.MonkeyPatch, files: int, expected: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    assert max_open_connections() == expected
