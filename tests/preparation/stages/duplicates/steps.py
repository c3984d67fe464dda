"""Runs the steps of a stage that compares documents, without the executor."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmcraft.preparation.contracts import DocumentId, GlobalStage, Record, Tally, Unit, UnitResult, Verdict
from lmcraft.preparation.records import write_records


class NoPosition:
    skipped: frozenset[DocumentId] = frozenset()

    def at(self, document: DocumentId) -> None:
        pass


def record(position: int, text: str, *, source: str = "web", priority: int = 0, **values: Any) -> Record:
    """A document of source 0, file 0."""
    notes = {"source": source, "priority": priority, "kind": "web"}
    return Record(DocumentId(0, 0, position), text, "file", position, notes=notes, **values)


def compare(stage: GlobalStage, units: Sequence[Sequence[Record]], work: Path) -> dict[DocumentId, Verdict]:
    """The verdicts of a stage on documents that come in units."""
    sketched = []
    for number, records in enumerate(units):
        unit = Unit("pass-0", number, "sketch", {"number": number})
        passed = list(stage.sketch(iter(records), work / unit.key / f"sketch-{stage.name}"))
        assert passed == list(records)
        with write_records(work / unit.key) as writer:
            for each in passed:
                writer.write(each)
        sketched.append(UnitResult(unit, {}, Tally(), {"documents": writer.documents, "bytes": writer.bytes}))
    results: dict[str, Sequence[UnitResult]] = {f"sketch/{stage.name}": sketched}
    for step in stage.steps():
        results[step.name] = [run(unit, work) for unit in step.units(results)]
    last = results[f"verdicts/{stage.name}"]
    assert len(last) == len(units)
    verdicts: dict[DocumentId, Verdict] = {}
    for result, records in zip(last, units, strict=True):
        own = stage.verdicts(work / result.unit.key)
        assert set(own) <= {record.id for record in records}
        verdicts |= own
    return verdicts


def run(unit: Unit, work: Path) -> UnitResult:
    """Run a unit in this process; its output is a folder named after its key."""
    module, _, name = unit.function.partition(":")
    out = work / unit.key
    out.mkdir(parents=True)
    inputs = {key: work / key for key in unit.inputs}
    tally, values = getattr(importlib.import_module(module), name)(unit.arguments, inputs, out, NoPosition())
    return UnitResult(unit, {}, tally, values)


def removed(verdicts: dict[DocumentId, Verdict]) -> dict[int, int]:
    """For each removed document the one that stays, by position."""
    return {own.position: verdict.match.position for own, verdict in verdicts.items() if verdict.match is not None}


def sizes(verdicts: dict[DocumentId, Verdict]) -> dict[int, int]:
    """Cluster sizes of those that stay, by position."""
    return {own.position: verdict.notes["cluster"] for own, verdict in verdicts.items() if verdict.notes}
