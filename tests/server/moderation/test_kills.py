"""A judge that is killed while it judges: nothing leaves that it has not judged, and every client reads a refusal."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import pytest

from lmcraft.moderation.judge_process import JudgeProcess
from tests.server.moderation.guarded_server import REFUSAL, scripted_guard
from tests.server.moderation.test_gateway import read_chunks
from tests.server.scripted_engine import scripted_engine
from tests.server.tiny_server import running

KILLS = 100
IN_THE_MIDDLE = f"Hello. \n\n{REFUSAL}"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> list[JudgeProcess]:
    """The judges that are made, for a test to kill."""
    judges: list[JudgeProcess] = []
    start = JudgeProcess.start

    def keep(judge: JudgeProcess) -> None:
        judges.append(judge)
        start(judge)

    monkeypatch.setattr(JudgeProcess, "start", keep)
    return judges


def kill_while_it_judges(judge: JudgeProcess, stopping: threading.Event) -> Iterator[int]:
    """Kill the process whenever it has a text that it will never decide about; yields the killed processes."""
    while not stopping.is_set():
        process = judge.process_id
        time.sleep(0.002)
        if process is not None and judge.num_pending:
            os.kill(process, signal.SIGKILL)
            yield process
            while judge.process_id == process and not stopping.is_set():
                time.sleep(0.001)
        time.sleep(0.001)


@pytest.mark.slow
def test_a_judge_that_is_killed_100_times(tmp_path: Path, judge: list[JudgeProcess]) -> None:
    killed: list[int] = []
    answers: list[str] = []
    stopping = threading.Event()
    with scripted_engine() as engine, running(tmp_path, upstream=engine.url, guard=scripted_guard(tmp_path)) as server:
        [only] = judge

        def kill() -> None:
            killed.extend(kill_while_it_judges(only, stopping))

        killer = threading.Thread(target=kill)
        engine.script = lambda body: ["Hello", ". ", "A hang", f" and secret{len(killed)}. ", "More secret."]
        client = httpx.Client(base_url=server.url, timeout=60)
        killer.start()
        try:
            for n in range(KILLS):
                body = {"messages": [{"role": "user", "content": "hi"}], "model": "scripted", "stream": n % 4 > 0}
                response = client.post("/v1/chat/completions", json=body)
                assert "secret" not in response.text and '"finish_reason":"content_filter"' in response.text
                answer = read_chunks(response) if body["stream"] else response.json()["choices"][0]["message"]
                assert answer["content"] in (IN_THE_MIDDLE, REFUSAL) and answer["refusal"] == REFUSAL
                answers.append(answer["content"])
        finally:
            client.close()
            stopping.set()
            killer.join(20)
        assert f'lmcraft:judge_restarts_total{{judge="policy"}} {len(killed)}' in httpx.get(server.url + "/metrics").text
    assert len(killed) >= KILLS and IN_THE_MIDDLE in answers
