"""`lmcraft doctor --energy`: every rung and CodeCarbon on the same load."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from lmcraft.commands import doctor
from lmcraft.energy import Energy, Part
from lmcraft.energy.cross_check import CheckedLoad, CodeCarbonEnergy, cross_check
from lmcraft.processor import usable_cpus


class FakeTracker:
    """CodeCarbon's tracker, which counts 36 J of the processor."""

    def __init__(self, **settings: Any) -> None:
        assert settings["tracking_mode"] == "process" and settings["save_to_file"] is False
        self.final_emissions_data = SimpleNamespace(cpu_energy=1e-5, ram_energy=2e-5, gpu_energy=0, codecarbon_version="3")

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


def test_every_rung_and_codecarbon_measure_one_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", SimpleNamespace(OfflineEmissionsTracker=FakeTracker))
    loads = cross_check(0.05)
    assert [load.threads for load in loads] == sorted({usable_cpus(), 1}, reverse=True)
    for load in loads:
        assert {"cpu time", "flops"} <= set(load.energies) and load.processor_seconds > 0
        assert all(energy.low < energy.joules < energy.high for energy in load.energies.values())
        assert load.codecarbon is not None and load.codecarbon.processor == pytest.approx(36)


def test_without_codecarbon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    assert [load.codecarbon for load in cross_check(0.01)] == [None] * len({usable_cpus(), 1})


def _load(**energies: float) -> CheckedLoad:
    by_rung = {
        name.replace("_", " "): Energy.of_parts({"processor": Part(joules, joules / 2, joules * 2, name)}, 1.0)
        for name, joules in energies.items()
    }
    cpus = usable_cpus()
    return CheckedLoad(cpus, 1.0, 1.0 * cpus, by_rung, CodeCarbonEnergy(100.0, 50.0, 0.0, "3"))


def test_rungs_are_compared_with_the_one_above() -> None:
    load = _load(rapl=10.0, cpu_time=15.0, flops=50.0)
    assert load.in_interval_above() == {"cpu time": True, "flops": False}
    assert load.watts_per_cpu == pytest.approx(10.0 / usable_cpus())
    assert _load(cpu_time=15.0).watts_per_cpu is None
    assert load.codecarbon is not None
    assert load.codecarbon.agrees_with(load.energies["flops"]) and not load.codecarbon.agrees_with(load.energies["rapl"])


def test_the_table_of_a_load() -> None:
    checks = [_load(rapl=3600.0, cpu_time=1800.0).as_json()]
    assert doctor._energy_advice(checks) == [
        f"where RAPL cannot be read on this machine, set LMCRAFT_CPU_WATTS={3600 / usable_cpus():.2g}"
    ]
    (table,) = doctor._energy_tables(checks)
    cells = [cell for column in table.columns for cell in column.cells]
    assert "1 Wh (0.5 to 2)" in cells and any("can err by 40%" in str(cell) for cell in cells)
