"""A server that answers chat requests as it is told."""

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class FakeServer:
    """Answers chat requests as `lmcraft serve` does; its context has room for `fits` messages."""

    url: str = ""
    pieces: list[str] = field(default_factory=lambda: ["Hel", "lo\x1b[2J 从前"])
    thoughts: list[str] = field(default_factory=list)
    seconds_between_pieces: float = 0.0
    finish_reason: str = "stop"
    fits: int = 100
    endless: bool = False
    broken: bool = False
    requests: list[dict[str, Any]] = field(default_factory=list)
    disconnected: threading.Event = field(default_factory=threading.Event)
    """Set when a client disconnects before the end."""

    def info(self, key: str | None) -> dict[str, Any]:
        models = [{"id": name, "kind": kind, "context": 64} for name, kind in (("base", "completion"), ("talks", "chat"))]
        return {"key_required": True} | ({"models": models} if key == "Bearer secret" else {})

    def refusal(self, body: dict[str, Any]) -> dict[str, Any] | None:
        if body["model"] != "talks":
            return {"message": "there is no\nmodel\x07 of that name", "code": "model_not_found"}
        if len(body["messages"]) > self.fits:
            return {"message": "too long: shorten it", "code": "context_length_exceeded"}
        return None

    def events(self) -> Iterator[bytes]:
        yield b": a comment\n\n"
        deltas = [{"reasoning_content": text} for text in self.thoughts]
        deltas += [{"content": text} for text in self.pieces]
        for delta in deltas * (10**6 if self.endless else 1):
            chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None}
            yield b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n"
            time.sleep(self.seconds_between_pieces)
        if not self.broken:
            yield b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"%s"}]}\n\n' % self.finish_reason.encode()
            yield b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}\n\n'
            yield b"data: [DONE]\n\n"


def handler_of(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/api/info"
            self.send_whole(200, fake.info(self.headers["Authorization"]))

        def do_POST(self) -> None:
            assert self.path == "/v1/chat/completions" and self.headers["Authorization"] == "Bearer secret"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            fake.requests.append(body)
            if (error := fake.refusal(body)) is not None:
                self.send_whole(404 if error["code"] == "model_not_found" else 400, {"error": error})
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream; charset=utf-8")
            self.end_headers()
            try:
                for event in fake.events():
                    self.wfile.write(event)
            except ConnectionError:
                fake.disconnected.set()

        def send_whole(self, status: int, value: dict[str, Any]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setenv("LMCRAFT_API_KEY", "secret\n")
    fake = FakeServer()
    with ThreadingHTTPServer(("127.0.0.1", 0), handler_of(fake)) as listening:
        fake.url = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        listening.shutdown()
        thread.join()
