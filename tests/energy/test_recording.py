"""The energy of a command in its file: a row of each start, also of one that fails or is killed."""

from pathlib import Path

import pytest

from lmcraft.energy import recording
from lmcraft.energy.carbon import Emissions
from lmcraft.energy.energy import Energy
from lmcraft.energy.meter import open_meter
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.energy.recording import WRITE_SECONDS, EnergyRecording, describe_row, recording_energy
from lmcraft.errors import RunError, UserError
from tests.clock import set_clock


def work() -> float:
    return sum(number * 0.5 for number in range(300_000))


def test_each_start_has_a_row(tmp_path: Path) -> None:
    file, begin = tmp_path / "energy.json", open_meter().read()
    work()
    with recording_energy(file, "evaluate", begin) as energy:
        energy.count(3)
    with pytest.raises(RunError), recording_energy(file, "evaluate") as energy:
        work()
        energy.count(4)
        raise RunError("the disk is full")
    with recording_energy(file, "evaluate"):
        pass  # there was nothing to do
    record = EnergyRecord.read(file)
    assert [row.queries for row in record.rows] == [3, 4] and all(row.energy.joules > 0 for row in record.rows)
    assert record.total is not None and record.total.queries == 7


def test_the_file_is_written_while_the_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    set_clock(monkeypatch, recording, monotonic=lambda: now[0])
    energy = EnergyRecording(file := tmp_path / "energy.json", "audit safety")
    energy.count(1)
    assert not file.exists()
    now[0] += WRITE_SECONDS + 1
    energy.count(0)
    assert [row.queries for row in EnergyRecord.read(file).rows] == [1]
    now[0] += WRITE_SECONDS + 1
    energy.count(5)
    [row] = EnergyRecord.read(file).rows
    assert row.queries == 6 and row.id == energy.row.id and row.started == energy.row.started


def test_the_error_of_the_work_is_the_one_to_show(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"), recording_energy(tmp_path / "missing" / "energy.json", "evaluate") as energy:
        (tmp_path / "missing").write_text("a file in the way")
        energy.count(1)
        raise KeyError("mine")


def test_a_damaged_file_is_refused_at_the_beginning(tmp_path: Path) -> None:
    (file := tmp_path / "energy.json").write_text("[]")
    with pytest.raises(UserError, match=r"energy\.json"):
        EnergyRecording(file, "evaluate")


def test_a_line_for_the_terminal() -> None:
    energy = Energy(3600.0, 1800.0, 7200.0, "cpu time", 60.0)
    row = EnergyRow("evaluate", energy, Emissions(0.5, 0.1, 2.0, "FR", 2023, "a table"), queries=500)
    emitted = "500 mg CO2e (100 to 2,000), the grid of FR, 2023"
    assert describe_row(row, "items") == f"energy: 1 Wh (0.5 to 2), by cpu time; {emitted}; 2 Wh (1 to 4) per 1,000 items"
    assert describe_row(None) == describe_row(EnergyRow("evaluate", Energy(method="none"), row.emissions)) == ""
