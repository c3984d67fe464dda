"""Exact duplicates: documents whose texts are equal without case, forms of characters and white space.

Shapes: N documents of a unit.
"""

import hashlib
import unicodedata
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from lmcraft.data.words import plain_bytes
from lmcraft.preparation.contracts import (
    DocumentId,
    JsonObject,
    Position,
    Record,
    Step,
    Tally,
    Unit,
    UnitResult,
    Verdict,
)
from lmcraft.preparation.stages.duplicates.clusters import Clusters, read_verdicts, verdict_units
from lmcraft.preparation.stages.duplicates.corpus import Corpus, SketchTable, Within, corpus_arguments, group_of, sketches
from lmcraft.preparation.stages.duplicates.finished import against_step, check_datasets, describe_datasets, sketch_documents

STEP_WEIGHT = 0.01  # as `Step.weight`
RANGE_DOCUMENTS = 2**21  # whose hashes one unit sorts


@dataclass(frozen=True)
class ExactDuplicates:
    """Removes all but one of the documents with the same text: that of the source of highest priority, then the first."""

    name: ClassVar[str] = "exact-duplicates"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("exact-duplicate",)

    within: Within = "all"
    """Compare all documents, those of a source, or those of a language."""
    against: tuple[str, ...] = ()
    """Finished datasets: their documents count as the first ones, and are not written again."""

    def __post_init__(self) -> None:
        check_datasets(self.against)

    def fingerprint(self) -> JsonObject:
        """What the verdicts depend on."""
        return {
            "within": self.within,
            "against": describe_datasets(self.against),
            "unicode": unicodedata.unidata_version,
        }

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Pass the records on; write the hash of each text."""
        folder.mkdir(parents=True, exist_ok=True)
        table, hashes = SketchTable(), array("Q")
        for record in records:
            table.add(record)
            hashes.frombytes(_hash_text(record.text, group_of(record, self.within)))
            yield record
        table.write(folder)
        np.save(folder / "hashes.npy", np.array(hashes, dtype=np.uint64).reshape(-1, 2))

    def steps(self) -> Sequence[Step]:
        """Sort the hashes in ranges, put the ranges together, cut them to the units of records."""
        name = self.name
        sketches = (f"against/{name}", f"sketch/{name}")
        ranges, resolve = f"sort/{name}", f"resolve/{name}"
        return (
            *against_step(self, self.against, f"{__name__}:sketch_against"),
            Step(ranges, lambda results: _sort_units(name, results), sketches, STEP_WEIGHT),
            Step(resolve, lambda results: _resolve_units(name, results), (*sketches, ranges), STEP_WEIGHT),
            Step(f"verdicts/{name}", lambda results: verdict_units(name, results, resolve), (resolve,), STEP_WEIGHT),
        )

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The documents that go, and the sizes of the clusters of those that stay."""
        return read_verdicts(folder, self.reasons[0], None, self.against)


def sketch_against(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """Sketch some documents of a finished dataset."""
    return sketch_documents(ExactDuplicates(**arguments["settings"]), arguments, out)


def _hash_text(text: str, group: str) -> bytes:
    """16 bytes."""
    key = hashlib.blake2b(group.encode(), digest_size=16).digest() if group else b""
    return hashlib.blake2b(plain_bytes(text), digest_size=16, key=key).digest()


def _sort_units(name: str, results: Mapping[str, Sequence[UnitResult]]) -> list[Unit]:
    arguments, inputs = corpus_arguments(name, results)
    documents = sum(result.values["documents"] for result in sketches(name, results))
    ranges = max(1, -(-documents // RANGE_DOCUMENTS))
    return [
        Unit(f"sort/{name}", number, f"{__name__}:sort", {**arguments, "range": [number, ranges]}, inputs)
        for number in range(ranges)
    ]


def _resolve_units(name: str, results: Mapping[str, Sequence[UnitResult]]) -> list[Unit]:
    arguments, inputs = corpus_arguments(name, results)
    ranges = [result.unit.key for result in results[f"sort/{name}"]]
    return [Unit(f"resolve/{name}", 0, f"{__name__}:resolve", {**arguments, "ranges": ranges}, (*inputs, *ranges))]


def sort(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Find equal hashes in a range of all hashes: `pairs.npy` (P, 2), a document and the one that stays."""
    corpus = Corpus.open(arguments, inputs)
    hashes, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
    number, ranges = arguments["range"]
    for unit, start in enumerate(corpus.starts[:-1]):
        unit_hashes = corpus.load(unit, "hashes")
        inside = np.flatnonzero((unit_hashes[:, 0] >> np.uint64(32)) * np.uint64(ranges) >> np.uint64(32) == number)
        hashes.append(unit_hashes[inside])
        numbers.append(inside + start)
    hashes_N, numbers_N = np.concatenate(hashes), np.concatenate(numbers)
    order = np.lexsort((corpus.precedences(numbers_N), hashes_N[:, 1], hashes_N[:, 0]))
    hashes_N, numbers_N = hashes_N[order], numbers_N[order]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = (hashes_N[1:] != hashes_N[:-1]).any(axis=1)
    first = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    np.save(out / "pairs.npy", np.stack([numbers_N, numbers_N[first]], axis=1)[~begins])
    return Tally(), {}


def resolve(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Put the ranges together."""
    corpus = Corpus.open(arguments, inputs)
    clusters = Clusters(len(corpus))
    for key in arguments["ranges"]:
        pairs = np.load(inputs[key] / "pairs.npy")
        clusters.remove(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)))
    clusters.write(out, corpus)
    return Tally(), {}
