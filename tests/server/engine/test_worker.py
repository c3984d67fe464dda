"""The worker under load, when clients disconnect, and when the engine fails."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.inference.engine import Engine
from lmcraft.server.limits import Limits
from tests.server.tiny_server import Server, running

LONG_REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "the fox"}], "max_tokens": 400, "ignore_eos": True}


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.01)


def test_a_disconnect_cancels_the_sequences(server: Server) -> None:
    worker = server.state.registry.get("tiny").worker
    for stream in (True, False):
        body = {**LONG_REQUEST, "n": 8, "stream": stream}
        limit = pytest.raises(httpx.TimeoutException)  # before or after the first token
        with limit, httpx.stream("POST", server.url + "/v1/chat/completions", json=body, timeout=0.15) as answer:
            next(answer.iter_lines())
            raise httpx.ReadTimeout("enough")
        wait_until(lambda: worker.running == worker.waiting == 0)
        wait_until(lambda: worker.cache_usage == 0)


def test_a_full_queue_refuses_requests_with_retry_after(tmp_path: Path) -> None:
    limits = Limits(max_num_seqs=1, max_queue=2)

    async def crowd(url: str) -> list[httpx.Response]:
        async with httpx.AsyncClient(timeout=60) as client:
            body = {**LONG_REQUEST, "max_tokens": 450}
            return await asyncio.gather(*(client.post(url + "/v1/chat/completions", json=body) for _ in range(10)))

    with running(tmp_path, limits=limits) as server:
        answers = asyncio.run(crowd(server.url))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 0 < len(refused) < len(answers)
        assert int(refused[0].headers["retry-after"]) >= 1
        assert "max_queue=2" in refused[0].json()["error"]["message"]
        assert f'lmcraft:requests_refused_total{{status="429"}} {len(refused)}' in httpx.get(server.url + "/metrics").text


def test_a_request_times_out(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(request_timeout=0.05)) as server:
        answer = httpx.post(server.url + "/v1/chat/completions", json=LONG_REQUEST)
        assert answer.status_code == 504 and "request_timeout" in answer.json()["error"]["message"]


def test_a_failed_engine_restarts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as server:
        original_step = Engine.step

        def failing_step(engine: Engine) -> Any:
            monkeypatch.setattr(Engine, "step", original_step)
            raise RuntimeError("raised by the test")

        monkeypatch.setattr(Engine, "step", failing_step)
        answer = httpx.post(server.url + "/v1/chat/completions", json=LONG_REQUEST)
        assert answer.status_code == 503 and "is restarting" in answer.json()["error"]["message"]
        wait_until(lambda: httpx.get(server.url + "/health").status_code == 200)
        assert httpx.post(server.url + "/v1/chat/completions", json=LONG_REQUEST).status_code == 200


def test_an_engine_that_fails_twice_is_unhealthy_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as server:

        def failing_step(engine: Engine) -> Any:
            raise RuntimeError("raised by the test")

        monkeypatch.setattr(Engine, "step", failing_step)
        for _ in range(2):  # the first restart is immediate, the second is delayed
            wait_until(lambda: httpx.get(server.url + "/ready").status_code == 200)
            assert httpx.post(server.url + "/v1/chat/completions", json=LONG_REQUEST).status_code == 503
        answer = httpx.get(server.url + "/health")
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "the engine of 'tiny' has failed")
        refused = httpx.post(server.url + "/v1/chat/completions", json=LONG_REQUEST)
        assert refused.status_code == 503 and refused.headers["retry-after"]
