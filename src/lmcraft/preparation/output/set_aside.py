"""Documents that a stage set aside for a person to review: kept with the dataset, but not part of it.

A pass writes them beside its records, a step of one unit brings those of all units together, and the dataset folder gets
`set_aside.jsonl`, which `lmcraft review add` reads: text, decision, language, source, and where the document was.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from lmcraft.folder import sha256_of
from lmcraft.folder.names import SET_ASIDE
from lmcraft.json_lines import format_json_line
from lmcraft.preparation.contracts import JsonObject, Position, Record, Step, Tally, Unit, UnitResult, Verdict
from lmcraft.preparation.counting import UNDETERMINED

PREFIX = "set-aside/"  # of the step after a pass
GATHER = f"{__name__}:gather"
SET_ASIDE_DOCUMENTS = "set_aside"  # in the values of a unit: their number, if there are any
WEIGHT = 0.001  # of the step, whose units only copy
Results = Mapping[str, Sequence[UnitResult]]


class SetAsideWriter:
    """Writes the documents that the stages of a unit set aside; there is no file if there are none.

    Args:
        folder: the unit's output.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / SET_ASIDE
        self._file: IO[str] | None = None
        self.documents = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, record: Record, verdict: Verdict) -> None:
        """Append a document with what its verdict says about it."""
        if self._file is None:
            self._file = self._path.open("w", encoding="utf-8", newline="\n")
        row = {
            "text": record.text,
            "decision": verdict.aside,
            "language": record.language or UNDETERMINED,
            "source": record.notes["source"],
            "origin": {"file": record.name, "line": record.line, "id": list(record.id)},
        }
        self._file.write(format_json_line(row))
        self.documents += 1


def set_aside_step(pass_name: str) -> Step:
    """The step that brings together what the units of a pass have set aside; it has no unit if that is nothing."""

    def units(results: Results) -> Sequence[Unit]:
        keys = [result.unit.key for result in results[pass_name] if SET_ASIDE_DOCUMENTS in result.values]
        return [Unit(f"{PREFIX}{pass_name}", 0, GATHER, {"units": keys}, inputs=tuple(keys))] if keys else []

    return Step(f"{PREFIX}{pass_name}", units, reads=[pass_name], weight=WEIGHT)


def gather(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """The unit of that step; `units` are the keys of those with documents, in the order of the corpus."""
    position.is_timed = False
    with (out / SET_ASIDE).open("wb") as target:
        for key in arguments["units"]:
            with (inputs[key] / SET_ASIDE).open("rb") as source:
                shutil.copyfileobj(source, target)
    return Tally(), {}


def finish_set_aside(folder: Path, results: Results, locate: Callable[[Unit], Path]) -> JsonObject:
    """Write the documents of all passes into the dataset folder; returns their entry in the manifest, if there are any.

    Args:
        folder: the dataset folder.
        results: of all steps.
        locate: the output folder of a unit.
    """
    documents = sum(r.values.get(SET_ASIDE_DOCUMENTS, 0) for finished in results.values() for r in finished)
    if not documents:
        return {}
    path = folder / SET_ASIDE
    with path.open("wb") as target:
        for name in results:
            for result in results[name] if name.startswith(PREFIX) else ():
                with (locate(result.unit) / SET_ASIDE).open("rb") as source:
                    shutil.copyfileobj(source, target)
    return {"set_aside": {"file": SET_ASIDE, "documents": documents, "sha256": sha256_of(path)}}
