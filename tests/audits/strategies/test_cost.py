"""Processor time and energy."""

from pathlib import Path

import pytest

from lmcraft.audits.strategies import cost
from lmcraft.audits.strategies.cost import Cost, read_cost, read_counters, recording_cost


def test_costs_add_up_over_interruptions(tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    with pytest.raises(KeyboardInterrupt), recording_cost(file):
        sum(n * n for n in range(200_000))
        raise KeyboardInterrupt
    first = read_cost(file)
    with recording_cost(file):
        sum(n * n for n in range(200_000))
    second = read_cost(file)
    assert second.processor_seconds > first.processor_seconds > 0 and second.seconds > first.seconds
    assert Cost(1, 2, 0).energy(10) == 20 and Cost(1, 2, 7).energy(10) == 7
    assert Cost(1, 2, 3) + Cost(1, 1, 1) == Cost(2, 3, 4)


def test_counters_of_processors_wrap_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, microjoules in (("intel-rapl:0", 9_000_000), ("intel-rapl:0:0", 5_000_000)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        (folder / "max_energy_range_uj").write_text("10000000\n")
    assert read_counters(tmp_path)["intel-rapl:0"] == (9.0, 10.0)
    assert "intel-rapl:0:0" not in read_counters(tmp_path)  # a part of the package
    monkeypatch.setattr(cost, "read_counters", lambda: read_counters(tmp_path))
    with recording_cost(tmp_path / "cost.json"):
        (tmp_path / "intel-rapl:0/energy_uj").write_text("2000000\n")
    assert read_cost(tmp_path / "cost.json").joules == pytest.approx(3.0)


def test_the_source_of_energy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "read_counters", dict)
    assert cost.describe_energy_source(12.5).startswith("Energy is estimated: 12.5 W for each busy core.")
    monkeypatch.setattr(cost, "read_counters", lambda: {"intel-rapl:0": (1.0, 2.0)})
    assert "intel-rapl:0" in cost.describe_energy_source(12.5)
