"""energy.json: rows of starts, their sum, and what is refused."""

import json
from pathlib import Path

import pytest

from lmcraft.energy.carbon import Emissions
from lmcraft.energy.energy import Energy, Part
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.errors import UserError
from lmcraft.folder import read_json


def energy(joules: float) -> Energy:
    return Energy.of_parts({"processor": Part(joules, joules / 2, 2 * joules, "cpu time")}, seconds=joules / 10)


def row(joules: float, region: str = "FR", year: int = 2023, **numbers: object) -> EnergyRow:
    return EnergyRow("pretrain", energy(joules), Emissions(joules, 0.0, 2 * joules, region, year, "a table"), **numbers)  # type: ignore[arg-type]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = EnergyRecord([row(72.0, tokens=6, steps=2, wasted={"repeated steps": 8.0}, forecast=energy(70.0))])
    record = record.with_row(row(36.0, "DE", 2024, tokens=3, queries=500, wasted={"repeated steps": 1.0, "x": 9.0}))
    record.write(tmp_path / "energy.json")
    assert EnergyRecord.read(tmp_path / "energy.json") == record

    total = read_json(tmp_path / "energy.json")["total"]
    assert total["energy"]["joules"] == 108 and total["energy"]["low"] == 54 and total["kwh"] == pytest.approx(3e-5)
    assert total["joules_per_token"] == 12 and total["wh_per_1000_queries"] == pytest.approx(0.06)
    assert total["wasted"] == {"joules": 18, "why": {"repeated steps": 9, "x": 9}}
    assert total["share_wasted"] == pytest.approx(1 / 6)
    assert total["emissions"]["grams"] == 108 and total["emissions"]["region"] == "FR + DE"
    assert total["forecast"]["joules"] == 70  # that of the whole work


def test_a_later_row_of_the_same_start_takes_its_place() -> None:
    record = EnergyRecord().with_row(row(1.0, id="a")).with_row(row(2.0, id="b")).with_row(row(3.0, id="a"))
    assert [(entry.id, entry.energy.joules) for entry in record.rows] == [("a", 3), ("b", 2)]


def test_nothing_is_divided_by_nothing(tmp_path: Path) -> None:
    assert EnergyRecord.read(tmp_path / "energy.json") == EnergyRecord() and EnergyRecord().total is None
    empty = row(0.0)
    assert (empty.share_wasted, empty.joules_per_token, empty.per_thousand_queries) == (0.0, None, None)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": 3}', '{"runs": [{}]}', '{"runs": [null]}', "\ud800"])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "energy.json"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=r"energy\.json"):
        EnergyRecord.read(file)


@pytest.mark.parametrize("joules", [-5.0, 1e308, 10**400])
def test_impossible_amounts_are_refused(tmp_path: Path, joules: float) -> None:
    file = tmp_path / "energy.json"
    EnergyRecord([row(1.0)]).write(file)
    record = read_json(file)
    record["runs"][0]["energy"]["joules"] = joules
    file.write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"is no record of energy"):
        EnergyRecord.read(file)
