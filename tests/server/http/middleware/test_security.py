"""What stands before the application: names, pages, bodies and time. Raw ASGI calls, and real sockets for the protocol."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmcraft.server.http.connection import protocol
from lmcraft.server.http.middleware.security import Guard
from lmcraft.server.limits import Limits

QUICK = Limits(max_body_bytes=100, body_timeout=0.05, write_timeout=0.05, header_timeout=0.1)


@dataclass
class Answered:
    """What came back, and what the application got."""

    messages: list[Message] = field(default_factory=list)
    calls: list[tuple[str, bytes]] = field(default_factory=list)
    """Method and body of every request that reached the application."""

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        pairs = self.messages[0]["headers"]
        found = {name.decode(): value.decode() for name, value in pairs}
        assert len(found) == len(pairs), "a header is there twice"
        return found

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.messages[1:])

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def ask(
    method: str = "GET",
    path: str = "/v1/models",
    headers: dict[str, str] | None = None,
    parts: tuple[bytes, ...] = (b"",),
    *,
    limits: Limits = QUICK,
    scheme: str = "http",
    endless: bool = False,
    **settings: Any,
) -> Answered:
    """One request to an application that answers 'hello'. `endless`: after its parts the body hangs."""
    answered = Answered()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        answered.calls.append((scope["method"], (await receive())["body"]))
        start = {"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"public"), (b"x-own", b"1")]}
        await send(start)
        await send({"type": "http.response.body", "body": b"hello"})

    async def send(message: Message) -> None:
        answered.messages.append(message)

    async def run() -> None:
        left = list(parts)

        async def receive() -> Message:
            if not left:
                await asyncio.sleep(10)
            part = left.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(left) or endless}

        said = {"host": "localhost:8000", **(headers or {})}
        raw = [(name.encode(), value.encode("latin-1")) for name, value in said.items() if value != ""]
        scope = {"type": "http", "method": method, "path": path, "scheme": scheme, "headers": raw}
        await Guard(app, limits=limits, **settings)(scope, receive, send)

    asyncio.run(run())
    return answered


# Names

OTHERS = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "localhost,evil.example"]
DAMAGED = ["localhost:8000@evil.example", "localhost:", "localhost:x", "[::1", "lo calhost", "\xe9", "localhost/"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:8000", "[::1]:8000", "[0:0:0:0:0:0:0:1]", "10.0.0.7", "[::2]:1"],
)
def test_names_of_this_machine_and_numbers_are_its_own(host: str) -> None:
    assert ask(headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [*OTHERS, *DAMAGED, ""],  # none, the last
)
def test_other_names_are_refused_before_the_application(host: str) -> None:
    answered = ask(headers={"host": host})
    assert answered.status == 403
    assert answered.error["type"] == "permission_error"
    assert answered.calls == []


def test_names_can_be_added_with_a_port_or_for_all() -> None:
    hosts = ["chat.example", "api.example:81", "fe80::1"]
    fine = ["chat.example", "chat.example:9", "api.example:81", "[fe80::1]:8000", "localhost"]
    assert [ask(headers={"host": host}, hosts=hosts).status for host in fine] == [200] * 5
    assert [ask(headers={"host": host}, hosts=hosts).status for host in ("api.example", "api.example:82")] == [403] * 2


# Pages


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"origin": "http://localhost:8000"}, "http"),
        ({"origin": "https://localhost:8000"}, "http"),  # behind a proxy that speaks https
        ({"origin": "https://localhost", "host": "localhost:443"}, "http"),
        ({"origin": "http://[::1]:8000", "host": "[::1]:8000"}, "http"),
        ({"origin": "https://localhost:8000"}, "https"),
        ({"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, "http"),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "http"),  # a link
    ],
)
def test_its_own_page_and_no_page_may_ask(headers: dict[str, str], scheme: str) -> None:
    answered = ask("POST", headers=headers, scheme=scheme)
    assert answered.status == 200
    assert not [name for name in answered.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("headers", "scheme"),
    [
        ({"origin": "null"}, "http"),
        ({"origin": "https://evil.example"}, "http"),
        ({"origin": "http://localhost:3000"}, "http"),
        ({"origin": "http://localhost"}, "http"),
        ({"origin": "http://localhost:8000"}, "https"),
        ({"origin": "http://localhost:8000.evil.example"}, "http"),
        ({"origin": "http://localhost:8000/"}, "http"),
        ({"origin": "file://localhost:8000"}, "http"),
        ({"origin": "localhost:8000"}, "http"),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, "http"),  # an image of another site
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}, "http"),  # of another port of this machine
    ],
)
def test_pages_of_others_are_refused(headers: dict[str, str], scheme: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        answered = ask(method, headers=headers, scheme=scheme, origins=["https://good.example"])
        assert answered.status == 403
        assert answered.calls == []
        assert not [name for name in answered.headers if name.startswith("access-control")]


def test_an_allowed_page_is_told_so_and_nothing_else() -> None:
    answered = ask("POST", headers={"origin": "https://good.example"}, origins=["https://Good.example/"])
    assert answered.status == 200
    assert answered.headers["vary"] == "Origin"
    cors = {name: value for name, value in answered.headers.items() if name.startswith("access-control")}
    assert cors == {"access-control-allow-origin": "https://good.example"}
    refused = ask(
        "POST", headers={"origin": "https://good.example", "content-length": "101"}, origins=["https://good.example"]
    )
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (413, "https://good.example")


def test_a_preflight_is_answered_for_allowed_pages() -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, x-stainless-os"}
    answered = ask("OPTIONS", headers={"origin": "https://good.example", **asked}, origins=["https://good.example"])
    assert (answered.status, answered.body, answered.calls) == (204, b"", [])
    assert answered.headers["access-control-allow-origin"] == "https://good.example"
    assert answered.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert "POST" in answered.headers["access-control-allow-methods"]
    odd = {**asked, "access-control-request-headers": "a;b"}
    odd_answer = ask("OPTIONS", headers={"origin": "https://good.example", **odd}, origins=["https://good.example"])
    assert "access-control-allow-headers" not in odd_answer.headers


# What every answer has


@pytest.mark.parametrize("headers", [{}, {"host": "evil.example"}, {"content-length": "101"}])
def test_every_answer_has_the_security_headers(headers: dict[str, str]) -> None:
    found = ask(headers=headers).headers
    assert found["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert found["x-content-type-options"] == "nosniff"
    assert found["referrer-policy"] == "no-referrer"
    assert found["cross-origin-opener-policy"] == found["cross-origin-resource-policy"] == "same-origin"
    assert found["cache-control"] == "no-store"


def test_pages_are_asked_for_again_and_other_headers_stay() -> None:
    for path in ("/", "/pages/main.js"):
        assert ask(path=path).headers["cache-control"] == "no-cache"
    assert ask().headers["x-own"] == "1"


def test_head_is_get_without_the_body() -> None:
    answered = ask("HEAD")
    assert answered.calls == [("GET", b"")]
    assert (answered.status, answered.body) == (200, b"")


def test_errors_are_counted() -> None:
    seen: list[int] = []
    ask(refused=seen.append)
    ask(refused=seen.append, headers={"host": "evil.example"})
    assert seen == [403]


# Bodies


def test_a_body_comes_whole() -> None:
    answered = ask("POST", parts=(b"a" * 50, b"", b"b" * 50))
    assert answered.calls == [("POST", b"a" * 50 + b"b" * 50)]


def test_a_body_that_says_it_is_too_long_is_refused_at_once_and_dropped() -> None:
    answered = ask("POST", headers={"content-length": "101"}, parts=(b"x" * 100, b"x"))
    assert (answered.status, answered.calls) == (413, [])
    assert "100 bytes" in answered.error["message"]
    assert answered.headers["connection"] == "close"
    assert answered.messages[-1] == {"type": "http.response.body"}


def test_a_body_of_unknown_length_is_counted() -> None:
    assert ask("POST", parts=(b"x" * 60, b"x" * 60)).status == 413
    assert ask("POST", headers={"content-length": "1"}, parts=(b"x" * 60, b"x" * 60)).status == 413


@pytest.mark.parametrize("length", ["-1", "1e3", "٣", "1 0", "0x10"])
def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    raw = length.encode().decode("latin-1")
    assert ask("POST", headers={"content-length": raw}).status == 400
    assert ask("POST", headers={"content-length": "9" * 5000}).status == 413


def test_a_body_that_does_not_come_is_given_up() -> None:
    begun = time.monotonic()
    answered = ask("POST", headers={"content-length": "20"}, parts=(b"x",), endless=True)
    assert (answered.status, answered.calls) == (408, [])
    assert time.monotonic() - begun < 1


def test_a_client_that_leaves_gets_no_answer() -> None:
    calls: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "POST", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(app, limits=QUICK)(scope, receive, send))
    assert calls == []


# Slow readers


def test_an_answer_that_is_not_taken_is_given_up() -> None:
    begun, failures = time.monotonic(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        for _ in range(3):
            try:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
            except ConnectionError as error:  # an application that tries again does not wait again
                failures.append(error)
        raise RuntimeError("what comes of it is not told as a mistake")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(10)

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    asyncio.run(Guard(app, limits=QUICK)(scope, receive, send))
    assert len(failures) == 3
    assert time.monotonic() - begun < 1


def test_mistakes_of_the_application_are_not_hidden() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a mistake")

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "headers": [(b"host", b"localhost")]}
    with pytest.raises(RuntimeError, match="a mistake"):
        asyncio.run(Guard(app, limits=QUICK)(scope, receive, send))


# Sockets


@contextmanager
def listening(app: ASGIApp, limits: Limits) -> Iterator[tuple[str, int]]:
    """A real server, with the guard and its protocol."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        Guard(app, limits=limits), http=protocol(limits), ws="none", lifespan="off", log_level="critical", loop="asyncio"
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


def until(connection: socket.socket, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        part = connection.recv(65536)
        assert part, f"the connection was closed before {end!r}"
        found += part
    return found


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    connection.settimeout(2)
    try:
        while part := connection.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("begun", [b"", b"GET", REQUEST])
def test_headers_that_do_not_end_close_the_connection(begun: bytes) -> None:
    with listening(hello, QUICK) as address, socket.create_connection(address) as connection:
        start = time.monotonic()
        connection.sendall(begun)
        assert all_of(connection) == b""
        assert 0.05 < time.monotonic() - start < 1


def test_drops_do_not_keep_a_connection_open_not_even_a_used_one() -> None:
    with listening(hello, QUICK) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"\r\n")
        until(connection, b"hello")
        time.sleep(0.15)  # longer than header_timeout: waiting for the next request is fine
        connection.sendall(REQUEST + b"\r\n")
        until(connection, b"hello")
        start = time.monotonic()
        with pytest.raises(OSError):  # reset, or broken pipe
            for byte in REQUEST * 100:
                connection.sendall(bytes([byte]))
                time.sleep(0.01)
        assert time.monotonic() - start < 1


def test_a_long_answer_may_take_longer_than_headers() -> None:
    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.2)
        await hello(scope, receive, send)

    with listening(slow, QUICK) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"Connection: close\r\n\r\n")
        assert all_of(connection).endswith(b"hello")


def test_who_does_not_read_is_cut_off_even_from_the_last_message() -> None:
    ended = threading.Event()

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"x" * 2**24)(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass
        ended.set()

    with listening(much, QUICK) as address, socket.create_connection(address) as connection:
        connection.sendall(REQUEST + b"\r\n")
        assert ended.wait(1)
        assert len(all_of(connection)) < 2**24


def test_the_answer_to_a_body_that_is_too_long_arrives() -> None:
    with listening(hello, QUICK) as address, socket.create_connection(address) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8000000\r\n\r\n")
        connection.sendall(b"x" * 8_000_000)
        assert all_of(connection).startswith(b"HTTP/1.1 413 ")
