"""Near-duplicates: MinHash proposes pairs, the true Jaccard similarity of their sets of shingles decides.

Sketches -> "pairs": documents that share a key of a band -> "verify": their similarity -> "resolve": in order of precedence,
a document goes if it resembles one that stays. So every removed document is similar to the one that is named, which chains
of similar documents would not be.

Shapes: D documents with a sketch, E entries of a band, P pairs.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from lmcraft.data.words import Hashes, words_of
from lmcraft.errors import UserError
from lmcraft.preparation.contracts import DocumentId, JsonObject, Position, Record, Step, Tally, Verdict
from lmcraft.preparation.stages.duplicates.clusters import read_verdicts, verdict_units
from lmcraft.preparation.stages.duplicates.corpus import SketchTable, Within, group_hash, group_of
from lmcraft.preparation.stages.duplicates.finished import against_step, check_datasets, describe_datasets, sketch_documents
from lmcraft.preparation.stages.duplicates.minhash import (
    Shingles,
    band_keys,
    choose_banding,
    library,
    shingle_set,
    shingle_words,
)
from lmcraft.preparation.stages.duplicates.pairs import pair_units, resolve_units, verify_units
from lmcraft.preparation.stages.duplicates.ragged import RaggedWriter

MIN_SHINGLES = 5  # documents with fewer are compared by exact-duplicates only
BATCH_SHINGLES = 2**18
MAX_SIGNATURE = 10_000  # values; a worker holds those of a batch of documents
PAIRS_WEIGHT, VERIFY_WEIGHT, RESOLVE_WEIGHT, VERDICTS_WEIGHT = 0.01, 0.03, 0.01, 0.005  # as `Step.weight`


@dataclass(frozen=True)
class NearDuplicates:
    """Removes documents that are similar to one that stays: of the source of highest priority, then the first."""

    name: ClassVar[str] = "near-duplicates"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("near-duplicate",)

    jaccard: float = 0.8
    """Similarity from which one of two documents goes: shared shingles per shingle of either."""
    shingle: int = 5
    """Words of a shingle; 1.7 times as many characters where most words are characters, as in Chinese."""
    bands: int = 0
    """Bands of a MinHash signature; documents that share one are compared. 0: chosen by `jaccard`, 25 for 0.8."""
    rows: int = 0
    """Values of a band. 0: chosen by `jaccard`, 8 for 0.8."""
    within: Within = "all"
    """Compare all documents, those of a source, or those of a language."""
    against: tuple[str, ...] = ()
    """Finished datasets: their documents count as the first ones, and are not written again."""

    def __post_init__(self) -> None:
        if not 0 < self.jaccard <= 1:
            raise UserError(f"jaccard {self.jaccard} is not a similarity: use a number above 0, up to 1")
        for setting, least in (("shingle", 1), ("bands", 0), ("rows", 0)):
            if getattr(self, setting) < least:
                raise UserError(f"{setting} {getattr(self, setting)} is too small: use {least} or more")
        if bool(self.bands) != bool(self.rows):
            raise UserError(f"bands {self.bands} and rows {self.rows} do not fit: set both, or neither")
        if self.bands * self.rows > MAX_SIGNATURE:
            raise UserError(
                f"bands {self.bands} and rows {self.rows} make a signature of {self.bands * self.rows:,} values: "
                f"use at most {MAX_SIGNATURE:,}"
            )
        check_datasets(self.against)

    @property
    def banding(self) -> tuple[int, int]:
        """Bands and rows."""
        return (self.bands, self.rows) if self.bands else choose_banding(self.jaccard)

    def fingerprint(self) -> JsonObject:
        """What the verdicts depend on."""
        return {
            **{name: getattr(self, name) for name in ("jaccard", "shingle", "within")},
            "banding": self.banding,
            "against": describe_datasets(self.against),
            "library": library(),
            "unicode": unicodedata.unidata_version,
        }

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Pass the records on; write the set of shingles of each document, and the keys of its bands."""
        folder.mkdir(parents=True, exist_ok=True)
        table, keys = SketchTable(), _KeyWriter(*self.banding)
        writer = RaggedWriter(folder, "sets")
        for record in records:
            words_W = words_of(record)
            shingles = shingle_set(words_W, shingle_words(record.text, len(words_W), self.shingle))
            if len(shingles) >= MIN_SHINGLES:
                keys.add(len(table), shingles, group_of(record, self.within))
            writer.write(shingles)
            table.add(record)
            yield record
        writer.close()
        table.write(folder)
        keys.write(folder)

    def steps(self) -> Sequence[Step]:
        """Pairs that share a key, their similarity, the clusters, and these cut to the units of records."""
        name, against = self.name, f"against/{self.name}"
        sketches = (against, f"sketch/{name}")
        pairs, verify, resolve = (f"{step}/{name}" for step in ("pairs", "verify", "resolve"))
        return (
            *against_step(self, self.against, f"{__name__}:sketch_against"),
            Step(pairs, lambda results: pair_units(name, results, self.banding[0]), sketches, PAIRS_WEIGHT),
            Step(verify, lambda results: verify_units(name, results, self.jaccard), (*sketches, pairs), VERIFY_WEIGHT),
            Step(resolve, lambda results: resolve_units(name, results, self.jaccard), (*sketches, verify), RESOLVE_WEIGHT),
            Step(f"verdicts/{name}", lambda results: verdict_units(name, results, resolve), (resolve,), VERDICTS_WEIGHT),
        )

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The documents that go, and the sizes of the clusters of those that stay."""
        return read_verdicts(folder, self.reasons[0], self.jaccard, self.against)


class _KeyWriter:
    """Collects the sets of documents and computes their keys, many at a time.

    `keys.npy` (bands, D) has the keys of each band in ascending order, `indices.npy` (bands, D) the documents in the unit.
    """

    def __init__(self, bands: int, rows: int) -> None:
        self._bands, self._rows = bands, rows
        self._sets: list[Shingles] = []
        self._groups: list[int] = []
        self._indices: list[int] = []
        self._keys: list[Hashes] = [np.empty((0, bands), dtype=np.uint64)]
        self._shingles = 0

    def add(self, index: int, shingles: Shingles, group: str) -> None:
        self._indices.append(index)
        self._sets.append(shingles)
        self._groups.append(group_hash(group))
        self._shingles += len(shingles)
        if self._shingles >= BATCH_SHINGLES:
            self._compute()

    def _compute(self) -> None:
        keys_DB = band_keys(self._sets, self._bands, self._rows)
        self._keys.append(keys_DB ^ np.array(self._groups, dtype=np.uint64)[:, None])
        self._sets, self._groups, self._shingles = [], [], 0

    def write(self, folder: Path) -> None:
        self._compute()
        keys_BD = np.ascontiguousarray(np.concatenate(self._keys).T)
        order_BD = np.argsort(keys_BD, axis=1, kind="stable")
        np.save(folder / "keys.npy", np.take_along_axis(keys_BD, order_BD, axis=1))
        np.save(folder / "indices.npy", np.array(self._indices, dtype=np.uint32)[order_BD])


def sketch_against(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """Sketch some documents of a finished dataset."""
    return sketch_documents(NearDuplicates(**arguments["settings"]), arguments, out)
