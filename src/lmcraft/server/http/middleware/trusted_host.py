"""Checks the Host header: a request must address the server by one of its names, or by an IP address.

This prevents DNS rebinding, in which another site makes its own host name resolve to this machine. An IP address needs no
such check, because it cannot be rebound.
"""

import ipaddress
import re
from collections.abc import Iterable

from starlette.datastructures import Headers

from lmcraft.server.errors import ApiError

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
HOST_PATTERN = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?")


class TrustedHosts:
    """The names of this server, each for one port or for all; the loopback names are always included."""

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        self._hosts = {parse_host(name) for name in (*LOOPBACK_HOSTS, *hosts)} - {None}

    def check(self, headers: Headers, http_version: str) -> None:
        """Raise ApiError (403) unless the request has one Host header with a trusted name or an IP address.

        A request in HTTP/1.0 may have none; browsers, which alone can be misled, send HTTP/1.1 or newer.
        """
        values = headers.getlist("host")
        if not values and http_version == "1.0":
            return
        if len(values) != 1:
            raise ApiError(403, f"the request has {len(values)} Host headers; send one", code="host")
        host = parse_host(values[0])
        if host is None or not ({host, (host[0], "")} & self._hosts or _is_ip_address(host[0])):
            message = (
                f"the host {values[0][:80]!a} is not allowed; use the server's address, or allow it with --allowed-hosts"
            )
            raise ApiError(403, message, code="host")


def parse_host(text: str) -> tuple[str, str] | None:
    """Name and port ('' if there is none) of a Host header or of a setting; None if it is malformed.

    An IPv6 address may come without brackets.
    """
    text = text.lower()
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    if (match := HOST_PATTERN.fullmatch(text)) is None:
        return None
    name, port = match[1].removesuffix("."), match[2] or ""
    if name.startswith("["):
        try:
            name = f"[{ipaddress.IPv6Address(name[1:-1])}]"
        except ValueError:
            return None
    return name, port


def _is_ip_address(name: str) -> bool:
    try:
        return bool(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        return False
