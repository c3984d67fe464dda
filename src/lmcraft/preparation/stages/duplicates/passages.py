"""Passages that repeat an earlier place of the corpus, even inside documents that differ otherwise.

Sketches -> "sort": fingerprints that an earlier place has, too -> "spans": the repeated words of each document ->
"verdicts": the texts without them. A passage's first place, in order of precedence, stays. The idea, and 50 words, are from
Lee et al., "Deduplicating training data makes language models better" (arXiv 2107.06499), with winnowing in place of a
suffix array, which needs several bytes of memory per byte of text.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lmcraft.data.words import words_of
from lmcraft.errors import UserError
from lmcraft.json_lines import parse_json
from lmcraft.preparation.contracts import DocumentId, JsonObject, Record, Step, Verdict
from lmcraft.preparation.stages.duplicates.corpus import SketchTable, Within, group_hash, group_of
from lmcraft.preparation.stages.duplicates.minhash import shingle_words
from lmcraft.preparation.stages.duplicates.ragged import RaggedWriter
from lmcraft.preparation.stages.duplicates.spans import sort_units, span_units, verdict_units
from lmcraft.preparation.stages.duplicates.winnowing import fingerprints, short_hashes

LEAST_WORDS = 10
SORT_WEIGHT, SPANS_WEIGHT, VERDICTS_WEIGHT = 0.02, 0.03, 0.05  # as `Step.weight`


@dataclass(frozen=True)
class RepeatedPassages:
    """Cuts passages that stand at an earlier place of the corpus out of documents, with their sentences.

    A document of which less than half stays, or less than `min_words`, is removed. Source code stays as it is.
    """

    name: ClassVar[str] = "repeated-passages"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("repeated-passage", "mostly-repeated")

    min_words: int = 50
    """Shorter passages may repeat; 1.7 times as many characters where most words are characters, as in Chinese."""
    action: Literal["cut", "drop"] = "cut"
    """Cut the passages out of the document, or drop it."""
    within: Within = "all"
    """Compare all documents, those of a source, or those of a language."""

    def __post_init__(self) -> None:
        if self.min_words < LEAST_WORDS:
            raise UserError(f"min_words {self.min_words} is too small: use {LEAST_WORDS} or more")

    def fingerprint(self) -> JsonObject:
        """What the verdicts depend on."""
        settings = {name: getattr(self, name) for name in ("min_words", "action", "within")}
        return {**settings, "unicode": unicodedata.unidata_version}

    def sketch(self, records: Iterable[Record], folder: Path) -> Iterator[Record]:
        """Pass the records on; write the fingerprints of each document, and a byte of each word.

        `fingerprints.npy` (3, F) has hashes in ascending order, the documents' places in the unit, and places of words.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table, writer = SketchTable(), RaggedWriter(folder, "words")
        columns, lengths = [np.empty((3, 0), dtype=np.uint64)], []
        for record in records:
            words_W = words_of(record)
            lengths.append(shingle_words(record.text, len(words_W), self.min_words))
            if record.notes.get("kind") != "code":
                hashes, places = fingerprints(words_W, lengths[-1])
                group = np.uint64(group_hash(group_of(record, self.within)))
                documents = np.full(len(places), len(table), dtype=np.uint64)
                columns.append(np.stack([hashes ^ group, documents, places.astype(np.uint64)]))
            writer.write(short_hashes(words_W))
            table.add(record)
            yield record
        writer.close()
        table.write(folder)
        np.save(folder / "lengths.npy", np.array(lengths, dtype=np.int64))
        together = np.concatenate(columns, axis=1)
        np.save(folder / "fingerprints.npy", together[:, np.argsort(together[0], kind="stable")])

    def steps(self) -> Sequence[Step]:
        """Fingerprints that repeat, the words around them, and the texts without these."""
        name, settings = self.name, {"min_words": self.min_words, "action": self.action}
        sketches = f"sketch/{name}"
        ranges, spans = f"sort/{name}", f"spans/{name}"
        return (
            Step(ranges, lambda results: sort_units(name, results), (sketches,), SORT_WEIGHT),
            Step(spans, lambda results: span_units(name, results), (sketches, ranges), SPANS_WEIGHT),
            Step(
                f"verdicts/{name}",
                lambda results: verdict_units(name, results, settings),
                (sketches, spans),
                VERDICTS_WEIGHT,
            ),
        )

    def verdicts(self, folder: Path) -> Mapping[DocumentId, Verdict]:
        """The documents that change or go."""
        return {
            DocumentId(*row["id"]): Verdict(
                reason=row["reason"],
                text=row["text"],
                value=row["value"],
                match=DocumentId(*row["match"]),
                evidence=row["evidence"],
            )
            for row in map(parse_json, (folder / "verdicts.jsonl").read_bytes().splitlines())
        }
