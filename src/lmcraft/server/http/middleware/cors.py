"""Checks the Origin header, and adds CORS headers for allowed origins.

Without this, a page on another site could make a visitor's browser send requests to a server on the visitor's machine
(cross-site request forgery). Requests of other programs have no Origin header and are accepted.
"""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers

from lmcraft.server.errors import ApiError
from lmcraft.server.http.middleware.trusted_host import parse_host

HEADER_NAMES_PATTERN = re.compile(r"[A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*")
DEFAULT_PORTS = {"http": "80", "https": "443"}
ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
PREFLIGHT_MAX_AGE_SECONDS = 600


class AllowedOrigins:
    """The origins of other sites, such as https://example.org, whose pages may use the server."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = {origin.lower().rstrip("/") for origin in origins}

    def check(self, scheme: str, headers: Headers) -> None:
        """Raise ApiError (403) if the request comes from a page that is neither the server's own nor allowed."""
        values = headers.getlist("origin")
        if not values:
            # Either a program, or a part of a page (such as an image) that a browser fetches from another site.
            site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
            if site not in ("none", "same-origin") and mode != "navigate":
                message = "pages of other sites may not use this server; allow a site with --allowed-origins"
                raise ApiError(403, message, code="origin")
            return
        origin = values[0]
        if len(values) > 1 or not (
            origin.lower() in self._origins or _is_same_origin(origin, scheme, headers.get("host", ""))
        ):
            message = f"pages of {origin[:80]!a} may not use this server; allow them with --allowed-origins"
            raise ApiError(403, message, code="origin")

    def response_headers(self, headers: Headers) -> dict[str, str]:
        """The headers that let an allowed page read the response."""
        if not self._origins:
            return {}
        origin = headers.get("origin", "")
        allow = {"access-control-allow-origin": origin} if origin.lower() in self._origins else {}
        return {"vary": "Origin", **allow}


def is_preflight(method: str, headers: Headers) -> bool:
    """Whether a browser asks for permission before a cross-site request."""
    return method == "OPTIONS" and "access-control-request-method" in headers


def preflight_headers(headers: Headers) -> dict[str, str]:
    """The headers of the response to a preflight request."""
    response = {
        "access-control-allow-methods": ALLOWED_METHODS,
        "access-control-max-age": str(PREFLIGHT_MAX_AGE_SECONDS),
    }
    requested = headers.get("access-control-request-headers", "")
    if HEADER_NAMES_PATTERN.fullmatch(requested):  # OpenAI's clients send many custom headers
        response["access-control-allow-headers"] = requested
    return response


def _is_same_origin(origin: str, scheme: str, host: str) -> bool:
    """Whether an origin is the server's own page: the same host and port as in the request's Host header.

    A proxy may speak https to the browser and http to this server, so https pages match a request by http.
    """
    origin_scheme, _, origin_host = origin.lower().partition("://")
    default_port, server_host, page_host = DEFAULT_PORTS.get(origin_scheme, ""), parse_host(host), parse_host(origin_host)
    if not default_port or server_host is None or page_host is None or (scheme, origin_scheme) == ("https", "http"):
        return False
    return (server_host[0], server_host[1] or default_port) == (page_host[0], page_host[1] or default_port)
