"""The Host header."""

import pytest

from tests.server.http.middleware.asgi import send_request

OTHER_NAMES = ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "127.1", "localhost,evil.example"]
MALFORMED = ["localhost:8000@evil.example", "localhost:", "localhost:x", "[::1", "lo calhost", "\xe9", "localhost/"]


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "localhost.", "127.0.0.1:8000", "[::1]:8000", "[0:0:0:0:0:0:0:1]", "10.0.0.7", "[::2]:1"],
)
def test_loopback_names_and_ip_addresses_are_trusted(host: str) -> None:
    assert send_request(headers={"host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    [*OTHER_NAMES, *MALFORMED, ""],  # an empty one is not sent
)
def test_other_hosts_are_refused_before_the_application(host: str) -> None:
    exchange = send_request(headers={"host": host})
    assert exchange.status == 403
    assert exchange.error["type"] == "permission_error"
    assert exchange.calls == []


@pytest.mark.parametrize("path", ["/health", "/ready"])
@pytest.mark.parametrize("host", ["", *OTHER_NAMES, *MALFORMED])
def test_probes_are_answered_under_any_name(path: str, host: str) -> None:
    assert send_request(path=path, headers={"host": host}).status == 200


def test_a_request_in_http_1_0_may_have_no_host() -> None:
    assert send_request(http_version="1.0", headers={"host": ""}).status == 200
    assert send_request(http_version="1.0", headers={"host": "evil.example"}).status == 403
    assert send_request(http_version="1.0", headers={"host": "", "origin": "http://evil.example"}).status == 403


def test_hosts_can_be_added_with_a_port_or_for_all_ports() -> None:
    hosts = ["chat.example", "api.example:81", "fe80::1"]
    allowed = ["chat.example", "chat.example:9", "api.example:81", "[fe80::1]:8000", "localhost"]
    assert [send_request(headers={"host": host}, hosts=hosts).status for host in allowed] == [200] * 5
    assert [send_request(headers={"host": host}, hosts=hosts).status for host in ("api.example", "api.example:82")] == [
        403
    ] * 2
