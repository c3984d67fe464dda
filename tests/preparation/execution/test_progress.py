"""Progress: a bar on a terminal, lines without one, with the rate and the time left."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from lmcraft.preparation.execution import progress
from lmcraft.preparation.execution.steps import run_steps
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import add_step, read_step


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock that goes on by 31 s whenever it is read."""
    clock = count(0, 31)
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(clock)))
    yield


@pytest.mark.usefixtures("seconds")
def test_lines_tell_step_rate_and_time_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_steps([read_step(4), add_step(group=4)], tmp_path, InProcess())
    begin, first, *_, last = capsys.readouterr().err.splitlines()
    assert begin == "0%  step 1 of 2: read"
    assert first == "14%  step 1 of 2: read  0 bytes/s  9.4 min left"
    assert last == "100%  step 2 of 2: add  0 bytes/s  0.0 s left"


@pytest.mark.usefixtures("seconds")
def test_work_that_was_done_before_makes_nothing_faster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_steps([read_step(4)], tmp_path, InProcess())
    capsys.readouterr()
    run_steps([read_step(4), add_step(group=1), add_step("total", "add", 4)], tmp_path, InProcess())
    lines = capsys.readouterr().err.splitlines()
    assert not any("step 1 of 3" in line and "left" in line for line in lines)
    assert lines[-1].startswith("100%  step 3 of 3: total")


def test_a_terminal_gets_a_bar(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    run_steps([read_step(4), add_step(group=4)], tmp_path, InProcess())
    assert "step 2 of 2: add" in capsys.readouterr().err
