"""No test changes the clock of other threads."""

import re
import time
from pathlib import Path

import pytest

from tests import clock
from tests.clock import set_clock

REPLACED = re.compile(r"""setattr\((time|[\w.]+\.time), ?"|setattr\(["'](lmcraft[\w.]+\.)?time\.""")


def test_a_clock_belongs_to_one_module(monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, clock, monotonic=lambda: -1.0)
    assert vars(clock)["time"].monotonic() == -1.0 and time.monotonic() >= 0
    assert vars(clock)["time"].perf_counter is time.perf_counter


def test_no_test_replaces_the_functions_of_time() -> None:
    files = Path(__file__).parent.rglob("*.py")
    assert [file.name for file in files if REPLACED.search(file.read_text(encoding="utf-8"))] == []
