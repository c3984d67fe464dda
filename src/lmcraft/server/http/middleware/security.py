"""The middleware in front of the application: checks the headers and the API key, limits requests, adds headers."""

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lmcraft.server.errors import ApiError, shutdown_error
from lmcraft.server.http.middleware.body import BodyBudget, ClientDisconnectedError, RequestBody
from lmcraft.server.http.middleware.cors import AllowedOrigins, is_preflight, preflight_headers
from lmcraft.server.http.middleware.response import SECURITY_HEADERS, ResponseSender
from lmcraft.server.http.middleware.trusted_host import TrustedHosts
from lmcraft.server.http.page_files import PAGES
from lmcraft.server.limits import Limits
from lmcraft.server.privacy.prompt_log import PROMPT_PATHS, LoggedRequest

log = logging.getLogger("lmcraft.server")
REQUEST_ID_HEADER = "x-request-id"
REQUEST_ID_PATTERN = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
PROBE_PATHS = ("/health", "/health/", "/ready", "/ready/")  # a supervisor restarts a server that does not answer them
PUBLIC_PATHS = (*PAGES, "/api/info", "/openapi.json", *PROBE_PATHS)


class SecurityMiddleware:
    """ASGI middleware. The application receives complete bodies, and GET in place of HEAD.

    It sets `scope["state"]["owner"]`, the name of the request's API key.

    Args:
        app: the application.
        identify: the owner of a request with these headers; raises ApiError (401) if a key is missing or unknown.
        hosts: names of this server, in addition to the loopback ones.
        origins: origins of other sites whose pages may use the server.
        limits: limits on open requests, headers, bodies and time.
        on_error: called with the status of every error response.
        log_prompt: called with each request whose body has a prompt; None: nothing logs them.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        identify: Callable[[Headers], str] = lambda headers: "",
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        limits: Limits,
        on_error: Callable[[int], None] = lambda status: None,
        log_prompt: Callable[[LoggedRequest], None] | None = None,
    ) -> None:
        self._app, self._identify, self._limits, self._on_error = app, identify, limits, on_error
        self._log_prompt = log_prompt
        self._hosts, self._origins = TrustedHosts(hosts), AllowedOrigins(origins)
        self._open_requests: Counter[str] = Counter()  # by owner
        self._budget = BodyBudget(limits.max_open_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, body = Headers(scope=scope), RequestBody(receive, self._budget)
        scope = {**scope, "state": {**scope.get("state", {}), "owner": "", "request_id": _request_id(headers)}}
        sender = ResponseSender(
            send, self._limits.write_timeout, self._added_headers(scope, headers), without_body=scope["method"] == "HEAD"
        )
        if scope["method"] == "HEAD":
            scope["method"] = "GET"
        try:
            await self._handle(scope, headers, body, sender)
        except ClientDisconnectedError as error:
            log.debug("request dropped: %s", error)
        except asyncio.CancelledError:  # only the server cancels: its drain is over
            with suppress(Exception):
                await sender.end_early(shutdown_error(), scope["path"])
        except Exception:
            if not sender.disconnected:  # otherwise the disconnect caused the exception
                raise
        finally:
            body.close()
            self._record(scope, sender.status)

    def _added_headers(self, scope: Scope, headers: Headers) -> dict[str, str]:
        is_page = scope["path"] in PAGES or scope["path"].startswith("/pages/")
        caching = (
            {} if is_page else {"cache-control": "no-store"}
        )  # page_files.py decides how long the page's files are kept
        own = {**caching, REQUEST_ID_HEADER: scope["state"]["request_id"]}
        return {**SECURITY_HEADERS, **own, **self._origins.response_headers(headers)}

    async def _handle(self, scope: Scope, headers: Headers, body: RequestBody, sender: ResponseSender) -> None:
        path, owner = scope["path"], ""
        try:
            _check_headers(scope, headers, self._limits)
            if path not in PROBE_PATHS:  # a load balancer may send any name
                self._hosts.check(headers, scope.get("http_version", ""))
            self._origins.check(scope["scheme"], headers)
            if is_preflight(scope["method"], headers):
                await sender.send_empty(204, preflight_headers(headers))
                return
            if path not in PUBLIC_PATHS and not path.startswith("/pages/"):
                owner = scope["state"]["owner"] = self._identify(headers)
            if path not in PROBE_PATHS:
                self._check_open_requests(owner)
        except ApiError as error:
            await sender.send_error(error, body, path)
            return
        self._open_requests[owner] += 1
        try:
            await body.read(headers, path, owner, self._limits)
            if self._log_prompt is not None and path in PROMPT_PATHS and scope["method"] == "POST":
                self._log_prompt(LoggedRequest(owner, scope["state"]["request_id"], path, body.content, time.time()))
            await self._app(scope, body.receive, sender.send)
        except ApiError as error:  # of the body; the application turns its own into responses
            await sender.send_error(error, body, path)
        finally:
            self._open_requests[owner] -= 1
            if not self._open_requests[owner]:
                del self._open_requests[owner]

    def _check_open_requests(self, owner: str) -> None:
        """Raise ApiError (503) if too many requests are open, or half of them are the owner's."""
        max_requests = self._limits.max_requests
        share = -(-max_requests // 2) if owner else max_requests
        if self._open_requests.total() >= max_requests or self._open_requests[owner] >= share:
            message = f"{self._open_requests.total()} requests are already open (max_requests={max_requests}); try again"
            count = {"max": max_requests}
            raise ApiError(503, message, code="max_requests", values=count, headers={"Retry-After": "1"})

    def _record(self, scope: Scope, status: int) -> None:
        """Count an error, and log the request without its words: the route's pattern instead of the path and the query."""
        if status >= 400:
            self._on_error(status)
        pattern = getattr(scope.get("route"), "path", "-")
        log.debug("%s %s %s: %d", scope["state"]["request_id"], scope["method"], pattern, status)


def _request_id(headers: Headers) -> str:
    """The client's request id, if it is short and plain; otherwise a new one."""
    sent = headers.get(REQUEST_ID_HEADER, "")
    return sent if REQUEST_ID_PATTERN.fullmatch(sent) else uuid4().hex


def _check_headers(scope: Scope, headers: Headers, limits: Limits) -> None:
    """Raise ApiError for headers that are too long (431), or that give the body two lengths (400)."""
    target_bytes = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    if target_bytes + sum(len(name) + len(value) for name, value in scope["headers"]) > limits.max_header_bytes:
        message = f"the headers are longer than {limits.max_header_bytes} bytes (max_header_bytes); send less"
        raise ApiError(431, message, code="headers_too_long")
    if "transfer-encoding" in headers and "content-length" in headers:
        message = "the request has both Content-Length and Transfer-Encoding; send one of them"
        raise ApiError(400, message, code="content_length")
