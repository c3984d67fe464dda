"""The cache of measurements."""

import json
from pathlib import Path

import pytest
import torch

from lmcraft import measurements
from lmcraft.measurements import Speeds, forget_measurements, measure_once, memory_bandwidth
from tests.clock import set_clock

SPEEDS = {"fp32": 1e12, "bf16": 3e12}


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and an idle processor."""
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(measurements.os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    memory_bandwidth.cache_clear()


class Measure:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Speeds:
        self.calls += 1
        return dict(SPEEDS)


def test_a_speed_is_measured_once_for_each_kind_and_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Measure()
    assert measure_once("products", ("fp32",), measure) == measure_once("products", ("bf16", "fp32"), measure) == SPEEDS
    assert measure.calls == 1
    measure_once("other", ("fp32",), measure)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    measure_once("products", ("fp32",), measure)
    assert measure.calls == 3
    measure_once("products", ("fp8",), measure)
    assert measure.calls == 4
    forget_measurements()
    forget_measurements()
    measure_once("products", ("fp32",), measure)
    assert measure.calls == 5


def test_a_busy_machine_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Measure()
    monkeypatch.setattr(measurements.os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    for _ in range(2):
        measure_once("products", ("fp32",), measure)
    assert measure.calls == 2 and not measurements._cache_file("products").exists()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"bf16": 1}', '{"bf16": "x", "fp32": 1}', '{"bf16": 0, "fp32": NaN}', '{"fp8": 1}', "null"]
)
def test_a_damaged_cache_is_measured_again(content: str) -> None:
    file, measure = measurements._cache_file("products"), Measure()
    file.parent.mkdir(parents=True)
    file.write_text(content)
    speeds = measure_once("products", ("fp32", "bf16"), measure)
    assert {name: speeds[name] for name in SPEEDS} == SPEEDS and measure.calls == 1
    assert json.loads(file.read_text()) == speeds


def test_a_cache_that_cannot_be_written_is_harmless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path / "file" / "cache"))
    assert measure_once("products", ("fp32",), Measure()) == SPEEDS


def test_the_bandwidth_is_that_of_the_fastest_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "BANDWIDTH_BYTES", 2**20)
    times = iter([0.0, 0.1, 0.15, 0.35])
    set_clock(monkeypatch, measurements, perf_counter=lambda: next(times))
    assert memory_bandwidth() == pytest.approx(2**20 / 0.05) and next(times, None) is None
    assert memory_bandwidth() == pytest.approx(2**20 / 0.05)
