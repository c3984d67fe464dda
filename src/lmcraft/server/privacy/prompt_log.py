"""The log of what clients ask, for `--log-prompts`: a thread scrubs and writes, so that no answer waits for it."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lmcraft.json_lines import format_json_line, parse_json
from lmcraft.privacy.scrubbing.json_values import change_json
from lmcraft.server.metrics import Metrics
from lmcraft.server.privacy.prompt_files import append_lines

log = logging.getLogger("lmcraft.server")
PROMPT_PATHS = frozenset(
    {f"/v1/{name}" for name in ("chat/completions", "completions", "embeddings", "classify", "moderations", "lens")}
    | {"/v1/messages", "/v1/messages/count_tokens", "/v1/responses", "/v1/responses/input_tokens", "/tokenize"}
)
"""The endpoints whose bodies have texts of users."""
MAX_WAITING_BYTES = 64 * 2**20  # of bodies that are not written yet; more are lost
MAX_BATCH = 100  # bodies written together
SECONDS_BETWEEN_COMPLAINTS = 60.0
CLOSE_SECONDS = 2.0
Scrub = Callable[[str], str]
"""Takes personal data out of a text."""


@dataclass(frozen=True)
class LoggedRequest:
    """A request whose body is logged."""

    key: str
    """The name of its API key; empty: the server is open."""
    request_id: str
    endpoint: str
    """Its path."""
    body: bytes
    time: float
    """In seconds since 1970."""


class PromptLog:
    """Writes each request as a line of JSON: `time`, `key`, `request_id`, `endpoint`, `request` and `scrubbed`.

    Args:
        path: the file.
        scrub: takes personal data out of each text; None: texts are logged as they were sent.
        metrics: counts what is kept and what is lost.
    """

    def __init__(self, path: Path, scrub: Scrub | None, metrics: Metrics) -> None:
        self.path, self._scrub, self._metrics = path, scrub, metrics
        self._waiting: deque[LoggedRequest] = deque()
        self._waiting_bytes = 0
        self._is_closing = False
        self._next_complaint = 0.0
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="prompt log", daemon=True)
        self._thread.start()

    @property
    def scrubs(self) -> bool:
        """Whether personal data is taken out."""
        return self._scrub is not None

    def add(self, request: LoggedRequest) -> None:
        """Log a request; called in the event loop."""
        with self._change:
            if self._is_closing or self._waiting_bytes + len(request.body) > MAX_WAITING_BYTES:
                self._metrics.record_logged_prompts("lost", 1)
                return
            self._waiting.append(request)
            self._waiting_bytes += len(request.body)
            self._change.notify_all()

    def flush(self, seconds: float) -> None:
        """Wait until everything that was added is written or lost, but not longer than this."""
        with self._change:
            self._change.wait_for(lambda: not self._waiting, seconds)

    def close(self) -> None:
        """Write what waits, for as long as `CLOSE_SECONDS`, and end the thread."""
        with self._change:
            self._is_closing = True
            self._change.notify_all()
        self._thread.join(CLOSE_SECONDS)
        with self._change:
            if lost := len(self._waiting):
                self._metrics.record_logged_prompts("lost", lost)
                log.error("%d prompts could not be logged before the server ended", lost)

    def _run(self) -> None:
        while batch := self._next_batch():
            lines = [line for request in batch if (line := self._attempt_line(request)) is not None]
            try:
                append_lines(self.path, lines)
            except Exception as error:
                self._complain(error)
                lines = []
            self._metrics.record_logged_prompts("kept", len(lines))
            self._metrics.record_logged_prompts("lost", len(batch) - len(lines))
            with self._change:
                for request in batch:
                    self._waiting.popleft()
                    self._waiting_bytes -= len(request.body)
                self._change.notify_all()

    def _next_batch(self) -> list[LoggedRequest]:
        with self._change:
            self._change.wait_for(lambda: self._waiting or self._is_closing)
            return list(self._waiting)[:MAX_BATCH]

    def _complain(self, error: Exception) -> None:
        if time.monotonic() >= self._next_complaint:
            self._next_complaint = time.monotonic() + SECONDS_BETWEEN_COMPLAINTS
            reason = error.strerror if isinstance(error, OSError) else type(error).__name__
            log.error("prompts cannot be logged to log_prompts='%s' (%s); they are lost", self.path, reason)

    def _attempt_line(self, request: LoggedRequest) -> bytes | None:
        try:
            return self._line(request)
        except Exception as error:
            self._complain(error)
            return None

    def _line(self, request: LoggedRequest) -> bytes:
        scrub = self._scrub or str
        entry = {
            "time": datetime.fromtimestamp(request.time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "key": request.key,
            "request_id": scrub(request.request_id),
            "endpoint": request.endpoint,
            "request": change_json(_without_token_ids(_parse_body(request.body)), scrub),
            "scrubbed": self._scrub is not None,
        }
        return format_json_line(entry).encode()


def _parse_body(body: bytes) -> Any:
    """The JSON of a body; null: it is none, and the server refuses it."""
    try:
        return parse_json(body)
    except ValueError:
        return None


def _without_token_ids(value: Any) -> Any:
    """A JSON value whose lists of token ids, in which texts cannot be scrubbed, are replaced by their number."""
    if isinstance(value, Mapping):
        return {name: _without_token_ids(element) for name, element in value.items()}
    if isinstance(value, list):
        if value and all(type(element) is int for element in value):
            return f"[{len(value)} token ids]"
        return [_without_token_ids(element) for element in value]
    return value
