"""The energy of a run in its report."""

from pathlib import Path
from typing import Any

import pytest

from lmcraft.energy.energy import Energy, Part
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.folder import ModelFolder, write_json, write_json_lines
from lmcraft.reports.evidence import Evidence, collect
from lmcraft.reports.sections.energy import energy_section
from lmcraft.reports.sections.quantities import say_emissions, say_energy


def evidence_of(path: Path, *joules: float) -> Evidence:
    folder = ModelFolder(path)
    write_json_lines(folder.metrics, [{"step": step, "loss": 1.0, "joules": 3600.0 * step} for step in range(3)])
    rows = []
    for number, amount in enumerate(joules):
        parts = {"processor": Part(0.75 * amount, 0.5 * amount, amount, "cpu time")}
        parts["rest"] = Part(0.25 * amount, 0.0, amount, "cpu time")
        energy = Energy.of_parts(parts, 10.0)
        wasted = {"repeated steps": 0.5 * amount} if number else {}
        rows.append(EnergyRow.of("pretrain", energy, tokens=1000, steps=10, wasted=wasted, forecast=energy))
    EnergyRecord(rows).write(folder.run / "energy.json")
    return collect(folder)


def test_a_run_shows_its_energy_by_step_part_and_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_REGION", "FR")
    section = energy_section(evidence_of(tmp_path, 3600.0, 3600.0))
    assert "2 Wh (1 Wh to 4 Wh)" in section and "25.0% (repeated steps)" in section and "3.6 J" in section
    assert "cumulative energy (Wh) by step" in section and "processor 1.50 (1.00 to 2.00)" in section
    assert section.count("<td>1 Wh</td>") == 2 and ">FR, 20" in section and "g CO\N{SUBSCRIPT TWO}e" in section
    assert "1 Wh; measured: 200% of it" in section


def test_one_start_has_no_table_of_starts(tmp_path: Path) -> None:
    section = energy_section(evidence_of(tmp_path, 7200.0))
    assert "By start" not in section and "world average" in section


@pytest.mark.parametrize("rows", [[3, None, {}], [{"energy": {"parts": 1}}], {}], ids=["numbers", "a part", "an object"])
def test_rows_of_something_else_are_left_out(tmp_path: Path, rows: Any) -> None:
    write_json(ModelFolder(tmp_path).run / "energy.json", {"runs": rows, "total": {"energy": {"joules": 3600, "low": "x"}}})
    section = energy_section(collect(ModelFolder(tmp_path)))
    assert "<td>1 Wh</td>" in section and "<svg" not in section and "By start" not in section


def test_amounts_have_the_unit_that_fits() -> None:
    assert [say_energy(joules) for joules in (0.0, 0.036, 3600.0, 7.2e6)] == ["0 Wh", "10.0 µWh", "1 Wh", "2 kWh"]
    assert say_emissions(0.0) == "0 g CO\N{SUBSCRIPT TWO}e" and say_emissions(1500) == "1.5 kg CO\N{SUBSCRIPT TWO}e"
