"""A judge in a process of its own, which ends, hangs and cannot start."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.moderation import judge_process
from lmcraft.moderation.decision import Action, Decision
from lmcraft.moderation.judge_process import JudgeProcess
from lmcraft.moderation.policy import read_policy
from tests.moderation import scripted_judge

PROGRAM = str(Path(scripted_judge.__file__))


def make_judge(folder: Path, **settings: Any) -> JudgeProcess:
    policy = scripted_judge.write_policy(folder)
    command = [sys.executable, "-I", "-S", PROGRAM, read_policy(policy).identity]
    return JudgeProcess(str(policy), **{"timeout_seconds": 5.0, "command": command} | settings)


@contextmanager
def running_judge(folder: Path, **settings: Any) -> Iterator[JudgeProcess]:
    judge = make_judge(folder, **settings)
    judge.start()
    try:
        yield judge
    finally:
        judge.close()


def judge_all(judge: JudgeProcess, texts: list[str]) -> list[Decision]:
    """The decisions about texts that are judged at the same time."""

    async def run() -> list[Decision]:
        return list(await asyncio.gather(*(judge(text, "answer") for text in texts)))

    return asyncio.run(run())


def test_each_text_gets_its_own_decision(tmp_path: Path) -> None:
    with running_judge(tmp_path) as judge:
        decisions = judge_all(judge, ["a", "refuse", "redact", "x" * 10**6, "flag\nreview", "\ud800 狐"])
    assert [str(d.action) for d in decisions] == ["allow", "refuse", "redact", "allow", "review", "allow"]
    assert decisions[2].passages == [(0, 6)] and not any(decision.failed for decision in decisions)


def test_a_judge_that_ends_refuses_what_it_has_and_restarts(tmp_path: Path) -> None:
    restarts: list[int] = []
    with running_judge(tmp_path, on_restart=lambda: restarts.append(1)) as judge:
        assert judge_all(judge, ["a"])[0].passes
        decisions = judge_all(judge, ["crash", "b", "c"])
        assert all(decision.failed and decision.action is Action.REFUSE for decision in decisions)
        assert "ended" in decisions[0].reason and restarts == [1]
        assert judge_all(judge, ["a"])[0].passes  # waits for the next one


def test_a_judge_that_hangs_is_ended(tmp_path: Path) -> None:
    with running_judge(tmp_path, timeout_seconds=0.5) as judge:
        assert all(decision.failed for decision in judge_all(judge, ["hang", "b"]))
        assert judge_all(judge, ["a"])[0].passes


def test_many_texts_may_take_longer_than_one(tmp_path: Path) -> None:
    with running_judge(tmp_path, timeout_seconds=0.5) as judge:
        assert all(decision.passes for decision in judge_all(judge, ["wait"] * 30))


def test_a_killed_judge_is_replaced_while_nothing_waits(tmp_path: Path) -> None:
    with running_judge(tmp_path) as judge:
        for _ in range(5):
            first = judge.process_id
            assert judge_all(judge, ["a"])[0].passes and first is not None
            os.kill(first, signal.SIGKILL)
            while judge.process_id in (None, first):
                time.sleep(0.001)
        assert judge_all(judge, ["a"])[0].passes


def test_judges_that_decide_about_nothing_restart_more_and_more_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restarts: list[int] = []
    with running_judge(tmp_path, on_restart=lambda: restarts.append(1)) as judge:
        monkeypatch.setattr(judge_process, "RESTART_PAUSE_SECONDS", 1000.0)
        for _ in range(2):
            assert judge_all(judge, ["crash"])[0].reason == "the judge ended"
        monkeypatch.setattr(judge_process, "RESTART_WAIT_SECONDS", 0.01)
        assert judge_all(judge, ["a"])[0].reason == "there is no judge: it restarts"
    assert len(restarts) == 2


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import sys; sys.exit(3)", "exit status 3"),
        ('print(\'{"error": "the lexicon is empty"}\')', "the lexicon is empty"),
        ('print(\'{"fingerprint": {"policy": "another"}}\')', "has changed"),
    ],
)
def test_a_judge_that_cannot_start(tmp_path: Path, program: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_judge(tmp_path, command=[sys.executable, "-c", program]).start()


def test_a_program_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot start"):
        make_judge(tmp_path, command=[str(tmp_path / "none")]).start()


def test_a_judge_whose_policy_changes_refuses_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_process, "RESTART_WAIT_SECONDS", 0.5)
    program = (
        "import json, os, sys; n = int(open(sys.argv[1]).read()); open(sys.argv[1], 'w').write(str(n + 1));"
        "print(json.dumps({'fingerprint': {'policy': sys.argv[2] + '!' * n}}), flush=True); sys.stdin.readline()"
    )
    (tmp_path / "n").write_text("0")
    identity = read_policy(scripted_judge.write_policy(tmp_path)).identity
    command = [sys.executable, "-c", program, str(tmp_path / "n"), identity]
    with running_judge(tmp_path, command=command) as judge:
        assert [judge_all(judge, ["a"])[0].failed for _ in range(2)] == [True, True]


def test_a_closed_judge_has_ended_and_refuses(tmp_path: Path) -> None:
    with running_judge(tmp_path) as judge:
        process = judge.process_id
    assert process is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    assert judge_all(judge, ["a"])[0].failed


def test_the_real_program(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('name = "words"\ntiers = {classifier = "none.bin"}\ncategories.hate.answer = "refuse"', encoding="utf-8")
    with pytest.raises(UserError, match=r"words|none\.bin"):
        JudgeProcess(str(file), timeout_seconds=5.0).start()
