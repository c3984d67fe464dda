"""RAPL's counters: wrapping, resets, rights, and zones that would count twice."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.energy.powercap import MAX_WATTS, PowercapCounters, find_zones

LIMIT = 262_143_328_850  # microjoules, as on most processors


def make_zone(folder: Path, zone: str, name: str, microjoules: int = 0) -> Path:
    (folder / zone).mkdir(parents=True, exist_ok=True)
    (folder / zone / "name").write_text(f"{name}\n")
    (folder / zone / "max_energy_range_uj").write_text(f"{LIMIT}\n")
    (folder / zone / "energy_uj").write_text(f"{microjoules}\n")
    return folder / zone / "energy_uj"


def test_processors_and_their_memory_count_once(tmp_path: Path) -> None:
    for zone, name in (
        ("intel-rapl:0", "package-0"),
        ("intel-rapl:0:0", "core"),
        ("intel-rapl:0:1", "dram"),
        ("intel-rapl:1", "package-1-die-0"),
        ("intel-rapl:2", "psys"),
        ("intel-rapl-mmio:0", "package-0"),
    ):
        make_zone(tmp_path, zone, name)
    zones, is_forbidden = find_zones(tmp_path)
    assert [(zone.file.parent.name, zone.is_memory) for zone in zones] == [
        ("intel-rapl:0", False),
        ("intel-rapl:0:1", True),
        ("intel-rapl:1", False),
    ]
    assert not is_forbidden


def test_counters_that_only_root_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_zone(tmp_path, "intel-rapl:0", "package-0")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert find_zones(tmp_path) == ([], True)


def test_no_counters(tmp_path: Path) -> None:
    assert find_zones(tmp_path / "none") == ([], False)
    (tmp_path / "intel-rapl:0").mkdir()  # half of a zone
    assert find_zones(tmp_path) == ([], False)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, LIMIT - 1), st.lists(st.floats(0, 300), min_size=1, max_size=20))
def test_a_counter_that_wraps_counts_everything(
    tmp_path_factory: pytest.TempPathFactory, start: int, watts: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("powercap")
    file = make_zone(folder, "intel-rapl:0", "package-0", start)
    counters = PowercapCounters(find_zones(folder)[0])
    assert not counters.advance(0.0)
    value = start
    for number, power in enumerate(watts, start=1):
        value += round(power * 60e6)
        file.write_text(str(value % LIMIT))
        assert counters.advance(60.0 * number)
    assert counters.package_joules == pytest.approx((value - start) / 1e6, abs=1e-3)


def test_a_reset_is_no_wrap(tmp_path: Path) -> None:
    file = make_zone(tmp_path, "intel-rapl:0", "package-0", 100_000_000_000)
    counters = PowercapCounters(find_zones(tmp_path)[0])
    counters.advance(0.0)
    file.write_text("5000000")  # the machine slept, and its counters began anew: a wrap would be 162 kJ in a second
    assert not counters.advance(1.0)
    assert counters.package_joules == 0
    file.write_text("55000000")
    assert counters.advance(2.0)
    assert counters.package_joules == pytest.approx(50)


def test_two_wraps_between_readings_are_not_taken_for_one(tmp_path: Path) -> None:
    file = make_zone(tmp_path, "intel-rapl:0", "package-0", 1000)
    counters = PowercapCounters(find_zones(tmp_path)[0])
    counters.advance(0.0)
    file.write_text("500000")
    assert not counters.advance(2 * LIMIT / 1e6 / MAX_WATTS)  # this process was stopped for minutes
    assert counters.max_period < LIMIT / 1e6 / MAX_WATTS + 1


@pytest.mark.parametrize("contents", ["", "nonsense", None], ids=["empty", "no number", "gone"])
def test_a_counter_that_goes_away_and_comes_back(tmp_path: Path, contents: str | None) -> None:
    file = make_zone(tmp_path, "intel-rapl:0", "package-0", 0)
    counters = PowercapCounters(find_zones(tmp_path)[0])
    counters.advance(0.0)
    if contents is None:
        file.unlink()
    else:
        file.write_text(contents)
    assert not counters.advance(1.0)
    file.write_text("20000000")
    assert not counters.advance(2.0)
    file.write_text("30000000")
    assert counters.advance(3.0)
    assert counters.package_joules == pytest.approx(10)
