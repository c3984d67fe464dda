"""The documents of all units of a pass, numbered from 0 in corpus order, and which of two duplicates takes precedence.

A sketch is a folder per unit. Both kinds of sketch begin with the same table: `ids.npy` (N, 4), `priorities.npy` (N,) and
`weights.npy` (N,), how many documents each stands for already.

Shapes: N documents of a unit.
"""

import hashlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import JsonObject, Record, UnitResult

Within = Literal["all", "source", "language"]
MAX_PRIORITY = 2**14  # of a source; documents of a finished dataset have one more
NUMBER_BITS = np.uint64(48)
GROUP_DOCUMENTS = 50_000  # at least, that one unit compares with others
Int64 = NDArray[np.int64]


class SketchTable:
    """The table at the beginning of a sketch."""

    def __init__(self) -> None:
        self._ids, self._priorities, self._weights = array("q"), array("h"), array("q")

    def __len__(self) -> int:
        return len(self._priorities)

    def add(self, record: Record) -> None:
        """Append a document.

        Raises:
            UserError: the priority of its source is out of range.
        """
        priority = int(record.notes.get("priority", 0))
        if abs(priority) > MAX_PRIORITY + (record.id.source < 0):
            source = record.notes.get("source", "")
            raise UserError(
                f"priority {priority} of source {source!r} is out of range: use -{MAX_PRIORITY} to {MAX_PRIORITY}"
            )
        self._ids.extend(record.id)
        self._priorities.append(priority)
        self._weights.append(int(record.notes.get("cluster", 1)))

    def write(self, folder: Path) -> None:
        """Write the table into the folder of a sketch."""
        np.save(folder / "ids.npy", np.array(self._ids, dtype=np.int64).reshape(-1, 4))
        np.save(folder / "priorities.npy", np.array(self._priorities, dtype=np.int16))
        np.save(folder / "weights.npy", np.array(self._weights, dtype=np.int64))


def group_of(record: Record, within: Within) -> str:
    """Documents of different groups are not compared."""
    if within == "all":
        return ""
    return str(record.notes.get("source", "")) if within == "source" else record.language


def group_hash(group: str) -> int:
    """8 bytes that keys of the group are combined with; 0 if all documents are compared."""
    return int.from_bytes(hashlib.blake2b(group.encode(), digest_size=8).digest(), "little") if group else 0


class Corpus:
    """The sketches of all units, as the units of later steps read them."""

    def __init__(self, folders: Sequence[Path], counts: Sequence[int]) -> None:
        self.folders = folders
        self.starts = [0, *accumulate(counts)]
        """The number of each unit's first document; at the end, the number of documents."""

    @classmethod
    def open(cls, arguments: JsonObject, inputs: Mapping[str, Path]) -> "Corpus":
        """The corpus that `corpus_arguments` describes."""
        folder = f"sketch-{arguments['name']}"
        return cls([inputs[key] / folder for key, _ in arguments["corpus"]], [count for _, count in arguments["corpus"]])

    def __len__(self) -> int:
        return self.starts[-1]

    def load(self, unit: int, name: str, *, mapped: bool = False) -> NDArray[Any]:
        """An array of a unit's sketch; mapped, it is read as far as it is used."""
        array_: NDArray[Any] = np.load(self.folders[unit] / f"{name}.npy", mmap_mode="r" if mapped else None)
        return array_

    def locate(self, number: int) -> tuple[int, int]:
        """The unit of a document, and its place there."""
        unit = bisect_right(self.starts, number) - 1
        return unit, number - self.starts[unit]

    def units_of(self, numbers: Int64) -> Int64:
        """The unit of each document."""
        return np.searchsorted(self._starts, numbers, side="right") - 1

    def precedences(self, numbers: Int64) -> NDArray[np.uint64]:
        """Of duplicates, the document with the least one stays: that of the highest priority, then the first."""
        if self.priorities is None:
            return numbers.astype(np.uint64)
        levels = (MAX_PRIORITY + 1 - self.priorities[numbers].astype(np.int64)).astype(np.uint64)
        return (levels << NUMBER_BITS) | numbers.astype(np.uint64)

    @cached_property
    def priorities(self) -> NDArray[np.int16] | None:
        """Of each document; None: all have the same."""
        tables = [self.load(unit, "priorities") for unit in range(len(self.folders))]
        distinct = {int(value) for table in tables for value in np.unique(table)}
        return np.concatenate(tables) if len(distinct) > 1 else None

    @cached_property
    def _starts(self) -> Int64:
        return np.array(self.starts[:-1], dtype=np.int64)


def sketches(name: str, results: Mapping[str, Sequence[UnitResult]]) -> Iterator[UnitResult]:
    """The units that hold the sketches of a stage: of finished datasets, then of the documents at hand."""
    yield from results.get(f"against/{name}", ())
    yield from results[f"sketch/{name}"]


def corpus_arguments(name: str, results: Mapping[str, Sequence[UnitResult]]) -> tuple[JsonObject, tuple[str, ...]]:
    """The arguments and inputs from which a unit opens the corpus of a stage."""
    units = list(sketches(name, results))
    corpus = [[result.unit.key, result.values["documents"]] for result in units]
    return {"name": name, "corpus": corpus}, tuple(dict.fromkeys(key for key, _ in corpus))


def group_units(corpus: Sequence[Sequence[Any]]) -> list[tuple[int, int]]:
    """Ranges of documents, of some neighboring units each; `corpus` as in the arguments of a unit."""
    borders, number = [0], 0
    for _, documents in corpus:
        number += documents
        if number - borders[-1] >= GROUP_DOCUMENTS:
            borders.append(number)
    if number > borders[-1]:
        borders.append(number)
    return list(pairwise(borders))
