"""Runs the steps of a preparation one unit after the other in this process, as the executors do in others."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path

from lmcraft.preparation.contracts import DocumentId, Record, Step, Tally, Unit, UnitResult
from lmcraft.preparation.records import write_records

RECORDS = "records"  # the step of the records that `write_units` writes


class NoPosition:
    """Nobody watches."""

    skipped: frozenset[DocumentId] = frozenset()

    def at(self, document: DocumentId | None) -> None:
        pass


def locate(work: Path) -> Callable[[Unit], Path]:
    return lambda unit: work / unit.step / unit.key


def write_units(work: Path, units: Iterable[Sequence[Record]]) -> list[UnitResult]:
    """Write records as the units of a pass do."""
    results = []
    for number, records in enumerate(units):
        text = json.dumps([[record.id, record.text, record.notes] for record in records])
        unit = Unit(RECORDS, number, "tests:none", {"number": number, "hash": hashlib.sha256(text.encode()).hexdigest()})
        folder = locate(work)(unit)
        folder.mkdir(parents=True, exist_ok=True)
        with write_records(folder) as writer:
            for record in records:
                writer.write(record)
        results.append(UnitResult(unit, {}, Tally(), {"documents": writer.documents, "bytes": writer.bytes}))
    return results


def run_steps(
    steps: Iterable[Step], work: Path, results: Mapping[str, Sequence[UnitResult]], *, backwards: bool = False
) -> dict[str, Sequence[UnitResult]]:
    """The results of all steps; with `backwards`, the units of a step run in the opposite order."""
    done = dict(results)
    folders = {result.unit.key: locate(work)(result.unit) for group in done.values() for result in group}
    for step in steps:
        units = list(step.units(done))
        outcomes = {unit.number: _run(unit, folders, work) for unit in (reversed(units) if backwards else units)}
        folders |= {unit.key: locate(work)(unit) for unit in units}
        done[step.name] = [outcomes[unit.number] for unit in units]
    return done


def _run(unit: Unit, folders: Mapping[str, Path], work: Path) -> UnitResult:
    module, function = unit.function.split(":")
    folder = locate(work)(unit)
    folder.mkdir(parents=True)
    arguments = json.loads(json.dumps(unit.arguments))
    inputs = {key: folders[key] for key in unit.inputs}
    tally, values = getattr(import_module(module), function)(arguments, inputs, folder, NoPosition())
    outputs = {file.name: (file.stat().st_size, "") for file in folder.iterdir()}
    return UnitResult(unit, outputs, tally, json.loads(json.dumps(values)))
