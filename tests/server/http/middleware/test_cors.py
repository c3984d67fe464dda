"""The Origin header and CORS."""

import pytest

from tests.server.http.middleware.asgi import send_request


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
def test_the_servers_own_page_and_programs_are_allowed(headers: dict[str, str], scheme: str) -> None:
    exchange = send_request("POST", headers=headers, scheme=scheme)
    assert exchange.status == 200
    assert not [name for name in exchange.headers if name.startswith("access-control")]


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
def test_pages_of_other_sites_are_refused(headers: dict[str, str], scheme: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        exchange = send_request(method, headers=headers, scheme=scheme, origins=["https://good.example"])
        assert exchange.status == 403
        assert exchange.calls == []
        assert not [name for name in exchange.headers if name.startswith("access-control")]


def test_an_allowed_origin_gets_the_cors_header_and_no_other() -> None:
    exchange = send_request("POST", headers={"origin": "https://good.example"}, origins=["https://Good.example/"])
    assert exchange.status == 200
    assert exchange.headers["vary"] == "Origin"
    cors = {name: value for name, value in exchange.headers.items() if name.startswith("access-control")}
    assert cors == {"access-control-allow-origin": "https://good.example"}
    refused = send_request(
        "POST", headers={"origin": "https://good.example", "content-length": "101"}, origins=["https://good.example"]
    )
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (413, "https://good.example")


def test_preflight_requests_of_allowed_origins() -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization, x-stainless-os"}
    exchange = send_request(
        "OPTIONS", headers={"origin": "https://good.example", **preflight}, origins=["https://good.example"]
    )
    assert (exchange.status, exchange.body, exchange.calls) == (204, b"", [])
    assert exchange.headers["access-control-allow-origin"] == "https://good.example"
    assert exchange.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
    assert "POST" in exchange.headers["access-control-allow-methods"]
    odd = {**preflight, "access-control-request-headers": "a;b"}
    odd_exchange = send_request(
        "OPTIONS", headers={"origin": "https://good.example", **odd}, origins=["https://good.example"]
    )
    assert "access-control-allow-headers" not in odd_exchange.headers
