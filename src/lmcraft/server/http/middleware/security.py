"""What stands before the application: who may call from where, how much and how slowly, and what browsers are told.

A page on another site can make a browser send requests to a server on this machine, by its own name (cross-site requests)
or by one that it lets point here (DNS rebinding). So a request must call the server by a name that it has, or a number, and
come from its own page, from a page that is allowed, or from no page. The rest is bounds: requests in number, bodies in bytes
and seconds, headers and answers in seconds.
"""

import asyncio
import ipaddress
import json
import logging
import re
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lmcraft.server.errors import ApiError, body
from lmcraft.server.limits import Limits

log = logging.getLogger("lmcraft.server")


LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?")


FIELD_NAMES = re.compile(r"[A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*")


IMPORT = "/api/import"


LINGER = 5.0  # seconds in which the rest of a refused body is read and dropped: a closed door would lose the answer


POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


SECURITY = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


PORTS = {"http": "80", "https": "443"}


METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"


class ClientGoneError(ConnectionError):
    """The client has left, or does not take what it is sent."""


class Guard:
    """ASGI middleware; see the module.

    Bodies reach the application whole: what is too long or too slow never gets there. HEAD is GET without the body.

    Args:
        app: what it guards.
        hosts: names of this server, with a port or for all ports, beside `LOOPBACK`.
        origins: pages elsewhere that may use it from a browser, such as https://example.org.
        limits: of bodies and of time.
        refused: told the status of every answer that is an error.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        limits: Limits,
        refused: Callable[[int], None] = lambda status: None,
    ) -> None:
        self._app, self._limits, self._refused = app, limits, refused
        self._open = 0
        self._hosts = {_host(name) for name in (*LOOPBACK, *hosts)} - {None}
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(send, self._limits.write_timeout, self._told(scope["path"], headers), scope["method"] == "HEAD")
        self._open += 1
        try:
            await self._pass(scope, headers, _Body(receive), answer)
        except ClientGoneError as error:
            log.debug("given up: %s", error)
        except Exception:
            if not answer.gone:  # else this is what came of it
                raise
        finally:
            self._open -= 1
            if answer.status >= 400:
                self._refused(answer.status)

    async def _pass(self, scope: Scope, headers: Headers, given: "_Body", answer: "_Answer") -> None:
        try:
            self._check_host(headers)
            self._check_origin(scope, headers)
            if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
                await answer.send({"type": "http.response.start", "status": 204, "headers": _preflight(headers)})
                await answer.send({"type": "http.response.body"})
                return
            if self._open > self._limits.max_requests:
                said = f"{self._limits.max_requests} requests are open already (max_requests): try again"
                raise ApiError(503, said, code="max_requests", headers={"Retry-After": "1"})
            await self._read(given, headers, scope["path"])
        except ApiError as error:
            await _refuse(error, given, answer)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, given.receive, answer.send)

    def _check_host(self, headers: Headers) -> None:
        """Raise ApiError where the request calls the server by a name that it does not have."""
        said = headers.getlist("host")
        if len(said) != 1:
            raise ApiError(403, f"the request has {len(said)} Host headers: send one", code="host")
        host = _host(said[0])
        if host is None or not ({host, (host[0], "")} & self._hosts or _is_address(host[0])):
            remedy = "use its own address, or allow the name with --allowed-hosts"
            raise ApiError(403, f"this server is not called {said[0][:80]!a}: {remedy}", code="host")

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        """Raise ApiError where a page that is neither ours nor allowed makes the request."""
        said = headers.getlist("origin")
        if not said:
            # No page, or a part of one (an image, say) that a browser fetches from another site.
            site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
            if site not in ("none", "same-origin") and mode != "navigate":
                refusal = "pages of other sites may not use this server: allow one with --allowed-origins"
                raise ApiError(403, refusal, code="origin")
        elif len(said) > 1 or not (said[0].lower() in self._origins or _is_same(said[0], scope["scheme"], headers["host"])):
            refusal = f"pages of {said[0][:80]!a} may not use this server: allow them with --allowed-origins"
            raise ApiError(403, refusal, code="origin")

    async def _read(self, given: "_Body", headers: Headers, path: str) -> None:
        """Read the whole body.

        Raises:
            ApiError: it is too long (413), too slow (408), or its length is not a number (400).
            ClientGoneError: the client has left.
        """
        name = "max_import_bytes" if path == IMPORT else "max_body_bytes"
        most, seconds = getattr(self._limits, name), self._limits.body_timeout
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise ApiError(400, "Content-Length must be a number: send the body's length in bytes", code="content_length")
        too_long = ApiError(413, f"the body may have {most} bytes ({name}): send less", code="body_too_long")
        if len(length) > 18 or int(length) > most:
            raise too_long
        try:
            async with asyncio.timeout(seconds):
                while given.more:
                    given.whole += await given.next()
                    if len(given.whole) > most:
                        raise too_long
        except TimeoutError as error:
            said = f"the body did not arrive within {seconds:g} s (body_timeout): send it faster, or less"
            raise ApiError(408, said, code="body_timeout") from error

    def _told(self, path: str, headers: Headers) -> dict[str, str]:
        """The headers that every answer has."""
        ours = path == "/" or path.startswith("/pages/")  # is asked for again, so that a new version is seen
        told = {**SECURITY, "cache-control": "no-cache" if ours else "no-store"}
        if self._origins:
            told["vary"] = "Origin"
            if (origin := headers.get("origin", "")).lower() in self._origins:
                told["access-control-allow-origin"] = origin
        return told


class _Body:
    """A request's body: read by `Guard`, given to the application in one message."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.whole = bytearray()
        self.more = True
        """Whether some of it is still to come."""
        self._given = False

    async def next(self) -> bytes:
        """The next part from the client.

        Raises:
            ClientGoneError: it has left.
        """
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError("the client has left")
        self.more = message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part

    async def receive(self) -> Message:
        """The whole of it, then whatever comes."""
        if self._given:
            return await self._receive()
        self._given = True
        return {"type": "http.request", "body": bytes(self.whole), "more_body": False}


class _Answer:
    """The way back to the client."""

    def __init__(self, send: Send, timeout: float, told: dict[str, str], head: bool) -> None:
        """`told`: headers that replace the application's; `head`: leave bodies out."""
        self._send, self._timeout, self._told, self._head = send, timeout, told, head
        self.status = 0
        self.gone = False

    async def send(self, message: Message) -> None:
        """Raise ClientGoneError where the client does not take it in time, and from then on."""
        if self.gone:
            raise ClientGoneError("the client does not take what it is sent")
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = [(name, value) for name, value in message.get("headers", ()) if name.decode("latin-1") not in self._told]
            message = {**message, "headers": [*given, *_encoded(self._told)]}
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        try:
            async with asyncio.timeout(self._timeout):
                await self._send(message)
        except TimeoutError as error:
            self.gone = True
            raise ClientGoneError(f"what was sent was not taken within {self._timeout:g} s (write_timeout)") from error


async def _refuse(error: ApiError, given: _Body, answer: _Answer) -> None:
    """Answer with an error, read what still comes for a while, and close the connection."""
    content = json.dumps(body(error)).encode()
    about = {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
    start = {"type": "http.response.start", "status": error.status, "headers": _encoded({**about, **error.headers})}
    await answer.send(start)
    await answer.send({"type": "http.response.body", "body": content, "more_body": True})
    if error.status != 408:  # that one has been waited for long enough
        try:
            async with asyncio.timeout(LINGER):
                while given.more:
                    await given.next()
        except (TimeoutError, ClientGoneError):
            pass
    await answer.send({"type": "http.response.body"})


def _encoded(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _preflight(headers: Headers) -> list[tuple[bytes, bytes]]:
    """What a browser is told that asks before a request from a page elsewhere; which, `_told` says."""
    told = {"access-control-allow-methods": METHODS, "access-control-max-age": "600"}
    asked = headers.get("access-control-request-headers", "")
    if FIELD_NAMES.fullmatch(asked):  # OpenAI's clients send many of their own
        told["access-control-allow-headers"] = asked
    return _encoded(told)


def _host(said: str) -> tuple[str, str] | None:
    """Name and port ('': none) of a Host header, or of a setting, which may be an IPv6 address without brackets."""
    said = said.lower()
    if said.count(":") > 1 and not said.startswith("["):
        said = f"[{said}]"
    if (match := HOST.fullmatch(said)) is None:
        return None
    name, port = match[1].removesuffix("."), match[2] or ""
    if name.startswith("["):
        try:
            name = f"[{ipaddress.IPv6Address(name[1:-1])}]"
        except ValueError:
            return None
    return name, port


def _is_address(name: str) -> bool:
    """Whether a host is a number: no name, so none that could be made to point here."""
    try:
        return bool(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return False


def _is_same(origin: str, scheme: str, host: str) -> bool:
    """Whether an Origin is the server's own page: its host and port are those that the request calls.

    A proxy in front may speak https where this server hears http, so http stands for both.
    """
    theirs, _, rest = origin.lower().partition("://")
    port, ours, said = PORTS.get(theirs, ""), _host(host), _host(rest)
    if not port or ours is None or said is None or (scheme, theirs) == ("https", "http"):
        return False
    return (ours[0], ours[1] or port) == (said[0], said[1] or port)
