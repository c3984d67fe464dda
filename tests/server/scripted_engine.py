"""An engine with OpenAI's endpoints whose answers a test writes: the `upstream` of `tiny_server.running`."""

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "scripted"
Delta = dict[str, Any]
Script = Callable[[dict[str, Any]], Iterable[Delta | str]]
"""From the body of a request to the pieces of its answer: texts, or deltas of a chat completion.

It may wait between two pieces.
"""


def in_words(text: str) -> list[str]:
    """A text in the pieces that a model streams."""
    return text.replace(" ", "\0 ").split("\0")


@dataclass
class ScriptedEngine:
    """Answers every chat with the pieces of `script`."""

    script: Script = lambda body: in_words("The fox jumps over the lazy dog.")
    seconds_per_piece: float = 0.0
    requests: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of the chats so far."""
    url: str = ""

    def hold(self, text: str, count: int) -> threading.Event:
        """Answer with a text that stops after `count` words until the event is set."""
        gate, words = threading.Event(), in_words(text)

        def script(_: dict[str, Any]) -> Iterator[str]:
            yield from words[:count]
            gate.wait(300)
            yield from words[count:]

        self.script = script
        return gate

    def events(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The events of a streamed chat completion."""
        common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": MODEL}

        def event(delta: Delta, finish_reason: str | None = None) -> dict[str, Any]:
            return {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

        yield event({"role": "assistant", "content": ""})
        count = 0
        for piece in self.script(body):
            count += 1
            time.sleep(self.seconds_per_piece)
            yield event({"content": piece} if isinstance(piece, str) else piece)
        yield event({}, "stop")
        usage = {"prompt_tokens": 4, "completion_tokens": count, "total_tokens": count + 4}
        yield {**common, "choices": [], "usage": usage}

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same answer at once."""
        message: dict[str, Any] = {"role": "assistant", "content": ""}
        for event in self.events(body):
            for choice in event["choices"]:
                for name, text in choice["delta"].items():
                    message[name] = text if name == "role" else message.get(name, "") + text
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice]}


@contextmanager
def scripted_engine(script: Script | None = None, *, seconds_per_piece: float = 0.0) -> Iterator[ScriptedEngine]:
    """A running engine; its script and its speed may be changed while it runs."""
    engine = ScriptedEngine(seconds_per_piece=seconds_per_piece)
    engine.script = script or engine.script

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send({"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": 4096}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            engine.requests.append(body)
            if not body.get("stream"):
                return self._send(engine.completion(body))
            self._start("text/event-stream")
            try:
                for event in engine.events(body):
                    self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
                    self.wfile.flush()
                self.wfile.write(b"data: [DONE]\n\n")
            except OSError:  # the client has stopped the answer
                pass

        def _send(self, value: dict[str, Any]) -> None:
            self._start("application/json")
            self.wfile.write(json.dumps(value).encode())

        def _start(self, content_type: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.end_headers()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    engine.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield engine
    finally:
        server.shutdown()
        server.server_close()
