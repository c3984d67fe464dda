"""The log of prompts: what is in a line, and what happens when it cannot be written."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcraft.server.metrics import Metrics
from lmcraft.server.privacy import prompt_log
from lmcraft.server.privacy.prompt_log import LoggedRequest, PromptLog

SECRET = "ada@example.org"


def scrub(text: str) -> str:
    return text.replace(SECRET, "[EMAIL]").replace("13812345678", "[PHONE]")


def request(body: object, **fields: str) -> LoggedRequest:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    values = {"key": "ada", "request_id": "r1", "endpoint": "/v1/chat/completions"} | fields
    return LoggedRequest(**values, body=content, time=0.5)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def log(tmp_path: Path, metrics: Metrics) -> Iterator[PromptLog]:
    opened = PromptLog(tmp_path / "prompts.jsonl", scrub, metrics)
    yield opened
    opened.close()


def logged(log: PromptLog) -> list[dict[str, object]]:
    log.flush(20.0)
    return [json.loads(line) for line in log.path.read_text(encoding="utf-8").splitlines()]


def test_every_text_of_a_request_is_scrubbed(log: PromptLog, metrics: Metrics) -> None:
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": [{"type": "text", "text": f"to {SECRET}"}]}],
        "metadata": {SECRET: 13812345678, "ratio": 0.5, "flag": True, "none": None},
        "prompt": [[1, 2, 3], [4]],
    }
    log.add(request(body, request_id=f"id-{SECRET}"))
    (entry,) = logged(log)
    assert entry == {
        "time": "1970-01-01T00:00:00.500Z",
        "key": "ada",
        "request_id": "id-[EMAIL]",
        "endpoint": "/v1/chat/completions",
        "request": {
            "model": "m",
            "messages": [{"role": "user", "content": [{"type": "text", "text": "to [EMAIL]"}]}],
            "metadata": {"[EMAIL]": "[PHONE]", "ratio": 0.5, "flag": True, "none": None},
            "prompt": ["[3 token ids]", "[1 token ids]"],
        },
        "scrubbed": True,
    }
    assert 'logged_prompts_total{outcome="kept"} 1' in metrics.render()


@pytest.mark.parametrize("body", [b"", b"not JSON " + SECRET.encode(), b"\xff", b"[" * 5000, b'{"a": NaN'], ids=range(5))
def test_a_body_that_is_no_json_leaves_a_line_without_it(log: PromptLog, body: bytes) -> None:
    log.add(request(body))
    assert [entry["request"] for entry in logged(log)] == [None]


def test_unscrubbed_only_if_asked(tmp_path: Path, metrics: Metrics) -> None:
    log = PromptLog(tmp_path / "prompts.jsonl", None, metrics)
    log.add(request({"prompt": SECRET}))
    assert [(entry["request"], entry["scrubbed"]) for entry in logged(log)] == [({"prompt": SECRET}, False)]
    log.close()


def test_what_cannot_be_written_is_lost_and_said_once(
    log: PromptLog, metrics: Metrics, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(path: Path, lines: list[bytes]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(prompt_log, "append_lines", fail)
    for number in range(3):
        log.add(request({"prompt": number}))
        log.flush(20.0)
    assert caplog.text.count("No space left on device") == 1
    assert 'logged_prompts_total{outcome="lost"} 3' in metrics.render()
    monkeypatch.undo()
    log.add(request({"prompt": "again"}))
    assert len(logged(log)) == 1


def test_too_much_at_once_is_lost(log: PromptLog, metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_log, "MAX_WAITING_BYTES", 10)
    log.add(request({"prompt": "longer than ten bytes"}))
    log.flush(20.0)
    assert 'logged_prompts_total{outcome="lost"} 1' in metrics.render()
    assert not log.path.exists()


def test_the_end_writes_what_waits(log: PromptLog, metrics: Metrics) -> None:
    for number in range(200):
        log.add(request({"prompt": str(number)}))
    log.close()
    assert len(log.path.read_text(encoding="utf-8").splitlines()) == 200
    log.add(request({"prompt": "late"}))
    assert 'logged_prompts_total{outcome="lost"} 1' in metrics.render()
