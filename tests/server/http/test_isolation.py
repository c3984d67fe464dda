"""One client against another: keys, bounds, request ids, and the end of the server, over raw connections."""

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.inference.request import SequenceState
from lmcraft.server.http.keys import Key, Keys
from lmcraft.server.limits import Limits
from tests.server.tiny_server import Server, running

PLAIN_KEYS = {"ada": "lmc-" + "a" * 40, "bob": "lmc-" + "b" * 40}
HELLO = [{"role": "user", "content": "the fox"}]
LIMITS = Limits(max_num_seqs=2, max_queue=3, max_requests=6, header_timeout=2, max_header_bytes=4096)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    keys = Keys([Key(name, next(iter(Keys.read([plain]))).sha256) for name, plain in PLAIN_KEYS.items()])
    with running(tmp_path_factory.mktemp("keyed"), keys=keys, limits=LIMITS, max_position_embeddings=2048) as server:
        yield server


def client_of(server: Server, name: str) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {PLAIN_KEYS[name]}"}, timeout=60)


def exchange(server: Server, content: bytes, seconds: float = 5.0) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; the status, headers and body of the answer."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(content)
        received = b""
        while part := connection.recv(65536):
            received += part
            head, separator, body = received.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            if separator and len(body) >= int(headers.get("content-length", "0")):
                break
    return int(lines[0].split()[1]), headers, body


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def test_the_key_is_checked_before_the_body(keyed: Server) -> None:
    for authorization in ("X-Nothing: 1", "Authorization: Bearer lmc-wrong", "Authorization: Basic YTpi", "x-api-key: no"):
        for path in ("/api/import", "/v1/chat/completions", "/v1/nothing"):
            status, headers, body = exchange(keyed, head(path, authorization, "Content-Length: 60000000"))
            assert status == 401 and headers["x-request-id"] and "key" in json.loads(body)["error"]["message"]
    for path in ("/", "/health", "/ready", "/api/info", "/openapi.json"):
        assert httpx.get(keyed.url + path).status_code == 200


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (head("/v1/models", "A: " + "x" * 5000, method="GET"), 431, "max_header_bytes"),
        (head("/v1/models?" + "x" * 5000, method="GET"), 431, "max_header_bytes"),
        (head("/v1/models", *[f"A{n}: {'x' * 50}" for n in range(90)], method="GET"), 431, "max_header_bytes"),
        (head("/v1/models", "Content-Length: 5", "Transfer-Encoding: chunked"), 400, "both Content-Length and"),
        (head("/v1/models", "Transfer-Encoding: chunked", "Content-Length: 0"), 400, "both Content-Length and"),
        (b"GET / HTTX\r\n\r\n", 400, "not valid HTTP/1.1"),
        (b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", 400, "not valid HTTP/1.1"),
        (b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 100_000, 400, "max_header_bytes"),
    ],
)
def test_headers_have_bounds_however_they_arrive(keyed: Server, content: bytes, status: int, words: str) -> None:
    answer = exchange(keyed, content)
    assert answer[0] == status and words in json.loads(answer[2])["error"]["message"] and answer[1]["x-request-id"]


@pytest.mark.parametrize("sent", ["abc-123", "req_1.2:3/4=", "x" * 128])
def test_a_request_id_is_taken_over(keyed: Server, sent: str) -> None:
    for path in ("/health", "/v1/models", "/nothing", "/pages/nothing"):
        assert httpx.get(keyed.url + path, headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 129, "a b", "é".encode(), b"a\tb", "<script>", '"'])
def test_a_request_id_that_is_not_plain_is_replaced(keyed: Server, sent: Any) -> None:
    new = httpx.get(keyed.url + "/health", headers={"X-Request-ID": sent}).headers["x-request-id"]
    assert new != sent and len(new) == 32


def test_streams_of_one_key_leave_room_for_others_and_probes(keyed: Server) -> None:
    body = {"messages": HELLO, "max_tokens": 1500, "ignore_eos": True, "stream": True}
    with client_of(keyed, "ada") as ada, client_of(keyed, "bob") as bob:
        streams = [ada.stream("POST", "/v1/chat/completions", json=body) for _ in range(3)]
        try:
            threads = [threading.Thread(target=stream.__enter__) for stream in streams]
            for thread in threads:
                thread.start()
            while keyed.state.registry.get("tiny").worker.running < 2:
                time.sleep(0.01)
            time.sleep(0.1)
            refused = ada.post("/v1/chat/completions", json={**body, "stream": False})
            assert refused.status_code == 503 and "max_requests=6" in refused.json()["error"]["message"]
            answer = bob.post("/v1/chat/completions", json={"messages": HELLO, "max_tokens": 8})
            assert answer.status_code == 200
            assert httpx.get(keyed.url + "/health").status_code == 200
        finally:
            for thread in threads:
                thread.join(60)
            for stream in streams:
                stream.__exit__(None, None, None)


def test_a_burst_up_to_slots_and_queue_is_served(tmp_path: Path) -> None:
    statuses: list[int] = []
    with running(tmp_path, limits=Limits(max_num_seqs=4, max_queue=8)) as server:

        def ask() -> None:
            body = {"messages": HELLO, "max_tokens": 30, "ignore_eos": True}
            statuses.append(httpx.post(server.url + "/v1/chat/completions", json=body, timeout=60).status_code)

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert statuses == [200] * 12


def test_a_bug_in_one_request_ends_that_request(keyed: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    original = SequenceState.append

    def failing(sequence: SequenceState, *arguments: Any) -> Any:
        if sequence.request.client == "ada":
            raise IndexError("raised by the test")
        return original(sequence, *arguments)

    monkeypatch.setattr(SequenceState, "append", failing)
    body = {"messages": HELLO, "max_tokens": 8}
    with client_of(keyed, "ada") as ada, client_of(keyed, "bob") as bob:
        failed = ada.post("/v1/chat/completions", json=body)
        assert failed.status_code == 500 and "see the server's log" in failed.json()["error"]["message"]
        assert bob.post("/v1/chat/completions", json=body).status_code == 200
        events = ada.post("/v1/chat/completions", json={**body, "stream": True}).text
        assert '"error"' in events and events.endswith("data: [DONE]\n\n")
    assert keyed.state.registry.get("tiny").worker.state == "ready"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classify", {"input": "x" * 10_000, "labels": ["a", "b"], "instruction": "{text}" * 100_000}),
        ("/v1/classify", {"input": ["x"], "labels": ["a", "b" * 200] * 20, "instruction": "{labels}" * 100_000}),
        ("/v1/embeddings", {"input": ["the fox " * 3000]}),
        ("/v1/completions", {"prompt": "the fox " * 3000, "echo": True, "logprobs": 5, "max_tokens": 0}),
        ("/v1/completions", {"prompt": [[1] * 2000] * 600, "echo": True, "logprobs": 1, "max_tokens": 0}),
        ("/v1/completions", {"prompt": [0.5] * 700_000}),
        ("/v1/completions", {"prompt": [[0.5] * 500] * 1500}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": 7}] * 100_000}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": [{"a": 1}] * 200_000}]}),
        ("/v1/chat/completions", {"messages": HELLO, **{f"field{n}": 1 for n in range(100_000)}}),
        ("/v1/chat/completions", {"messages": HELLO, "stop": [7] * 1_000_000}),
        ("/v1/chat/completions", {"messages": HELLO, "logit_bias": {f"x{n}": "y" for n in range(100_000)}}),
        ("/v1/responses", {"input": [{"type": "message", "role": "user", "content": 7}] * 50_000}),
        ("/v1/messages", {"messages": [{"role": "user", "content": 7}] * 50_000, "max_tokens": 3}),
        ("/tokenize", {"messages": [7] * 1_000_000}),
        ("/detokenize", {"tokens": ["x"] * 700_000}),
    ],
)
def test_what_cannot_be_served_is_refused_at_once(keyed: Server, path: str, body: dict[str, Any]) -> None:
    with client_of(keyed, "ada") as ada:
        answer = ada.post(path, json=body)
    assert answer.status_code == 400 and len(answer.json()["error"]["message"]) < 400


def test_the_log_has_no_words_of_users(keyed: Server, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), client_of(keyed, "ada") as ada:
        ada.get("/api/conversations", params={"search": "secretword"}, headers={"X-Request-ID": "log-1"})
        ada.get("/api/conversations/secretword")
        ada.get("/secretword")
        ada.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "secretword"}], "max_tokens": 2})
    lmcraft = [record.getMessage() for record in caplog.records if not record.name.startswith("http")]
    assert "log-1 GET /api/conversations: 200" in lmcraft
    assert not any("secretword" in message for message in lmcraft)


def test_the_store_is_private(tmp_path: Path) -> None:
    file = tmp_path / "chats.sqlite"
    file.touch(mode=0o644)
    old = os.umask(0)
    try:
        with running(tmp_path) as server:
            httpx.post(server.url + "/api/conversations", json={"title": "t"})
            modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("chats.sqlite*")}
    finally:
        os.umask(old)
    assert set(modes.values()) == {0o600} and len(modes) >= 1


def test_a_second_signal_ends_streams_with_an_event_and_logs_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, max_position_embeddings=4096, num_hidden_layers=8) as server:
        body = {"messages": HELLO, "max_tokens": 4000, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            for _ in range(2):
                server.uvicorn.handle_exit(signal.SIGTERM, None)
            rest = [line for line in lines if line]
    assert "shutting down" in rest[-2] and rest[-1] == "data: [DONE]"
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]


def test_the_end_of_the_drain_is_the_last_event_of_a_stream(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(drain_timeout=0.3)
    with running(tmp_path, limits=limits, max_position_embeddings=4096, num_hidden_layers=8) as server:
        body = {"messages": HELLO, "max_tokens": 4000, "ignore_eos": True, "stream": True}
        with httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=60) as answer:
            lines = answer.iter_lines()
            next(lines)
            start = time.monotonic()
            server.uvicorn.should_exit = True
            rest = [line for line in lines if line]
        assert time.monotonic() - start < 10
    assert "shutting down" in rest[-2] and rest[-1] == "data: [DONE]"
    assert not [record for record in caplog.records if record.exc_info]
