"""The middleware in front of the application: checks Host and Origin, limits requests, adds security headers."""

import logging
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from lmcraft.server.errors import ApiError
from lmcraft.server.http.middleware.body import ClientDisconnectedError, RequestBody
from lmcraft.server.http.middleware.cors import AllowedOrigins, is_preflight, preflight_headers
from lmcraft.server.http.middleware.response import SECURITY_HEADERS, ResponseSender
from lmcraft.server.http.middleware.trusted_host import TrustedHosts
from lmcraft.server.limits import Limits

log = logging.getLogger("lmcraft.server")


class SecurityMiddleware:
    """ASGI middleware. The application receives complete bodies, and GET in place of HEAD.

    Args:
        app: the application.
        hosts: names of this server, in addition to the loopback ones.
        origins: origins of other sites whose pages may use the server.
        limits: limits on open requests, bodies and time.
        on_error: called with the status of every error response.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        limits: Limits,
        on_error: Callable[[int], None] = lambda status: None,
    ) -> None:
        self._app, self._limits, self._on_error = app, limits, on_error
        self._hosts, self._origins = TrustedHosts(hosts), AllowedOrigins(origins)
        self._open_requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, body = Headers(scope=scope), RequestBody(receive)
        is_page = scope["path"] == "/" or scope["path"].startswith("/pages/")
        cache_control = "no-cache" if is_page else "no-store"  # pages are revalidated, so that browsers see a new version
        added = {**SECURITY_HEADERS, "cache-control": cache_control, **self._origins.response_headers(headers)}
        sender = ResponseSender(send, self._limits.write_timeout, added, without_body=scope["method"] == "HEAD")
        self._open_requests += 1
        try:
            await self._handle(scope, headers, body, sender)
        except ClientDisconnectedError as error:
            log.debug("request dropped: %s", error)
        except Exception:
            if not sender.disconnected:  # otherwise the disconnect caused the exception
                raise
        finally:
            self._open_requests -= 1
            if sender.status >= 400:
                self._on_error(sender.status)

    async def _handle(self, scope: Scope, headers: Headers, body: RequestBody, sender: ResponseSender) -> None:
        try:
            self._hosts.check(headers)
            self._origins.check(scope["scheme"], headers)
            if is_preflight(scope["method"], headers):
                await sender.send_empty(204, preflight_headers(headers))
                return
            if self._open_requests > self._limits.max_requests:
                message = f"{self._limits.max_requests} requests are already open (max_requests); try again"
                raise ApiError(503, message, code="max_requests", headers={"Retry-After": "1"})
            await body.read(headers, scope["path"], self._limits)
        except ApiError as error:
            await sender.send_error(error, body, scope["path"])
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, body.receive, sender.send)
