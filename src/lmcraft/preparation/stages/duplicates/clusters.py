"""Clusters of duplicates: which document stands for each other one, and the verdicts that follow.

A unit that resolves writes arrays over all documents of the corpus: `keepers.npy` (the number of the document that stays;
its own for one that stays), `values.npy` (the similarity to it), `sizes.npy` (the documents that one that stays stands for)
and `ids.npy`. The units of "verdicts/NAME" cut them to one unit of records each.

Shapes: N documents of the corpus.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, Tally, Unit, UnitResult, Verdict
from lmcraft.preparation.stages.duplicates.corpus import Corpus, Int64

VERSION = 1
BLOCK_DOCUMENTS = 2**20


class Clusters:
    """Which document stands for each other one; at first each for itself. Use numbers of the corpus."""

    def __init__(self, documents: int) -> None:
        dtype = np.uint32 if documents < 2**32 else np.uint64
        self.keepers: NDArray[Any] = np.arange(documents, dtype=dtype)
        self.values = np.zeros(documents, dtype=np.float32)

    def remove(self, number: int | Int64, keeper: int | Int64, value: float | NDArray[np.float64]) -> None:
        """Note the document that stands for another one, and how similar they are."""
        self.keepers[number] = keeper
        self.values[number] = value

    def stays(self, number: int) -> bool:
        """Whether a document stands for itself."""
        return bool(self.keepers[number] == number)

    def write(self, out: Path, corpus: Corpus) -> None:
        """Write the arrays that the verdicts are cut from."""
        np.save(out / "keepers.npy", self.keepers)
        np.save(out / "values.npy", self.values)
        sizes = np.zeros(len(self.keepers), dtype=np.uint32)
        ids = np.lib.format.open_memmap(out / "ids.npy", "w+", np.dtype(np.int64), (len(corpus), 4))
        for unit, start in enumerate(corpus.starts[:-1]):
            weights = corpus.load(unit, "weights").astype(np.uint32)
            stop = start + len(weights)
            np.add.at(sizes, self.keepers[start:stop], weights)
            ids[start:stop] = corpus.load(unit, "ids")
        np.save(out / "sizes.npy", sizes)


def verdict_units(name: str, results: Mapping[str, Sequence[UnitResult]], resolved: str) -> list[Unit]:
    """A unit for each unit of records; `resolved` is the step whose one unit wrote the clusters."""
    (resolution,) = results[resolved]
    key = resolution.unit.key
    start = sum(result.values["documents"] for result in results.get(f"against/{name}", ()))
    units = []
    for number, result in enumerate(results[f"sketch/{name}"]):
        stop = start + result.values["documents"]
        arguments = {"name": name, "resolution": key, "start": start, "stop": stop}
        function = f"{__name__}:write_verdicts"
        units.append(Unit(f"verdicts/{name}", number, function, arguments, (key,), version=VERSION))
        start = stop
    return units


def write_verdicts(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """Write the rows of the documents of one unit that do not simply stay."""
    folder, start, stop = inputs[arguments["resolution"]], arguments["start"], arguments["stop"]
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("keepers", "values", "sizes", "ids")}
    keepers, sizes = (np.array(arrays[name][start:stop]).astype(np.int64) for name in ("keepers", "sizes"))
    numbers = np.arange(start, stop)
    removed = keepers != numbers
    rows = np.flatnonzero(removed | (sizes > 1))
    np.save(out / "ids.npy", arrays["ids"][numbers[rows]])
    np.save(out / "matches.npy", arrays["ids"][keepers[rows]])
    np.save(out / "values.npy", arrays["values"][numbers[rows]])
    np.save(out / "sizes.npy", np.where(removed, 0, sizes)[rows])
    return Tally(), {"removed": int(removed.sum())}


def read_verdicts(folder: Path, reason: str, threshold: float | None, against: Sequence[str]) -> dict[DocumentId, Verdict]:
    """The verdicts of a unit: removed documents with their match, and the sizes of the clusters that others stand for."""
    columns = (np.load(folder / f"{name}.npy").tolist() for name in ("ids", "matches", "values", "sizes"))
    verdicts = {}
    for own_row, match_row, value, size in zip(*columns, strict=True):
        match = DocumentId(*match_row)
        if size:
            verdict = Verdict(notes={"cluster": size})
        else:
            evidence = f"document {match.position} of {against[-1 - match.source]}" if match.source < 0 else ""
            verdict = Verdict(reason, value=round(value, 4), threshold=threshold, match=match, evidence=evidence)
        verdicts[DocumentId(*own_row)] = verdict
    return verdicts
