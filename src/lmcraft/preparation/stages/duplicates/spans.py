"""The units between the fingerprints of repeated passages and the texts without them.

Shapes: F fingerprints, H hits (fingerprints that an earlier place has, too).
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import hash_words
from lmcraft.json_lines import format_json_line
from lmcraft.preparation.contracts import JsonObject, Position, Record, Tally, Unit, UnitResult
from lmcraft.preparation.records import read_records
from lmcraft.preparation.stages.duplicates.corpus import Corpus, Int64, corpus_arguments, group_units
from lmcraft.preparation.stages.duplicates.cutting import cut_words
from lmcraft.preparation.stages.duplicates.minhash import shingle_words
from lmcraft.preparation.stages.duplicates.ragged import RaggedReader
from lmcraft.preparation.stages.duplicates.winnowing import Span, follow

VERSION = 1
RANGE_BYTES = 2**27  # of records whose fingerprints one unit sorts
BLOCK_DOCUMENTS = 2**13  # whose hits are in memory at the same time
EVIDENCE_CHARS = 300
SPAN = np.dtype([("number", "i8"), ("first", "i8"), ("last", "i8"), ("match", "i8", 4)])
Results = Mapping[str, Sequence[UnitResult]]


def sort_units(name: str, results: Results) -> list[Unit]:
    """A unit for each range of hashes."""
    arguments, inputs = corpus_arguments(name, results)
    size = sum(result.values["bytes"] for result in results[f"sketch/{name}"])
    ranges = max(1, -(-size // RANGE_BYTES))
    return [
        Unit(
            f"sort/{name}",
            number,
            f"{__name__}:sort",
            {**arguments, "range": [number, ranges]},
            inputs,
            size=size // ranges,
            version=VERSION,
        )
        for number in range(ranges)
    ]


def sort(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write `hits.npy` (H, 4), ascending: a document and a place of it, the document and the place that come first."""
    corpus = Corpus.open(arguments, inputs)
    hashes, numbers, places = _read_range(corpus, *arguments["range"])
    order = np.lexsort((places, corpus.precedences(numbers), hashes))
    hashes, numbers, places = hashes[order], numbers[order], places[order]
    begins = np.ones(len(hashes), dtype=bool)
    begins[1:] = hashes[1:] != hashes[:-1]
    first = (np.flatnonzero(begins)[np.cumsum(begins) - 1])[~begins]
    hits = np.stack([numbers[~begins], places[~begins], numbers[first], places[first]], axis=1)
    np.save(out / "hits.npy", hits[np.lexsort((hits[:, 1], hits[:, 0]))])
    return Tally(), {}


def _read_range(corpus: Corpus, number: int, ranges: int) -> tuple[NDArray[np.uint64], Int64, Int64]:
    """The fingerprints in a range of all hashes: hashes, documents and places of words."""
    columns = [np.empty((3, 0), dtype=np.uint64)]
    low, high = (part * 2**64 // ranges for part in (number, number + 1))
    for unit, start in enumerate(corpus.starts[:-1]):
        unit_prints = corpus.load(unit, "fingerprints", mapped=True)
        first = int(np.searchsorted(unit_prints[0], np.uint64(low)))
        last = unit_prints.shape[1] if high == 2**64 else int(np.searchsorted(unit_prints[0], np.uint64(high)))
        part = np.array(unit_prints[:, first:last])
        part[1] += np.uint64(start)
        columns.append(part)
    hashes, numbers, places = np.concatenate(columns, axis=1)
    return hashes, numbers.astype(np.int64), places.astype(np.int64)


def span_units(name: str, results: Results) -> list[Unit]:
    """A unit for the documents of some neighboring units."""
    arguments, inputs = corpus_arguments(name, results)
    hits = tuple(result.unit.key for result in results[f"sort/{name}"])
    arguments |= {"hits": hits}
    return [
        Unit(
            f"spans/{name}",
            number,
            f"{__name__}:find_spans",
            {**arguments, "documents": list(documents)},
            (*inputs, *hits),
            version=VERSION,
        )
        for number, documents in enumerate(group_units(arguments["corpus"]))
    ]


def find_spans(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write `spans.npy`: the repeated words of each document, ascending, with the id of the document that has them first."""
    corpus = Corpus.open(arguments, inputs)
    start, stop = arguments["documents"]
    files = [np.load(inputs[key] / "hits.npy", mmap_mode="r") for key in arguments["hits"]]
    rows: list[tuple[int, int, int, tuple[int, ...]]] = []
    with RaggedReader(corpus, "words", np.uint8) as words:
        for first in range(start, stop, BLOCK_DOCUMENTS):
            last = min(first + BLOCK_DOCUMENTS, stop)
            ranges = [np.searchsorted(file[:, 0], [first, last]).tolist() for file in files]
            hits = np.concatenate([np.array(file[a:b]) for file, (a, b) in zip(files, ranges, strict=True)])
            for number, document_hits in _by_document(hits):
                for span in _spans_of(number, document_hits, words, corpus):
                    unit, index = corpus.locate(span.match)
                    match = tuple(corpus.load(unit, "ids", mapped=True)[index].tolist())
                    rows.append((number, span.first, span.last, match))
    np.save(out / "spans.npy", np.array(rows, dtype=SPAN))
    return Tally(), {}


def _by_document(hits: Int64) -> Iterator[tuple[int, Int64]]:
    hits = hits[np.lexsort((hits[:, 1], hits[:, 0]))]
    borders = np.flatnonzero(np.diff(hits[:, 0], prepend=-1, append=-1)).tolist()
    for first, last in pairwise(borders):
        yield int(hits[first, 0]), hits[first:last, 1:]


def _spans_of(number: int, hits: Int64, words: RaggedReader, corpus: Corpus) -> list[Span]:
    """The spans of a document that are long enough; a hit inside the span before it adds nothing."""
    words_W = words.read(number)
    unit, index = corpus.locate(number)
    min_words = int(corpus.load(unit, "lengths", mapped=True)[index])
    spans: list[Span] = []
    for word, match, other_word in hits.tolist():
        if spans and spans[-1].first <= word <= spans[-1].last - min_words:
            continue
        first, last = follow(words_W, word, words.read(match), other_word)
        if last - first >= min_words:
            spans.append(Span(first, last, match))
    return spans


def verdict_units(name: str, results: Results, settings: JsonObject) -> list[Unit]:
    """A unit for each unit of records, which it reads again."""
    sketched = results[f"sketch/{name}"]
    units, start = [], 0
    for number, result in enumerate(sketched):
        stop = start + result.values["documents"]
        groups = [(result.unit.key, result.unit.arguments["documents"]) for result in results[f"spans/{name}"]]
        keys = [key for key, (first, last) in groups if first <= start < last]
        arguments = {**settings, "records": result.unit.key, "spans": keys, "documents": [start, stop]}
        function = f"{__name__}:write_verdicts"
        inputs = (result.unit.key, *keys)
        units.append(Unit(f"verdicts/{name}", number, function, arguments, inputs, size=result.unit.size, version=VERSION))
        start = stop
    return units


def write_verdicts(
    arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position
) -> tuple[Tally, JsonObject]:
    """Write `verdicts.jsonl`: the texts without repeated passages, and the documents that go."""
    start, stop = arguments["documents"]
    spans: dict[int, list[Any]] = {}
    for key in arguments["spans"]:
        rows = np.load(inputs[key] / "spans.npy")
        for row in rows[(rows["number"] >= start) & (rows["number"] < stop)].tolist():
            spans.setdefault(row[0], []).append(row)
    with (out / "verdicts.jsonl").open("w", encoding="utf-8") as file:
        for number, record in enumerate(read_records(inputs[arguments["records"]]) if spans else (), start):
            if number in spans and (verdict := _judge(record, spans[number], arguments)):
                file.write(format_json_line(verdict))
    return Tally(), {}


def _judge(record: Record, spans: Sequence[tuple[Any, ...]], settings: JsonObject) -> JsonObject | None:
    """The verdict on a document with repeated words, (number, first, last, match) each; None: it stays as it is."""
    n_words = len(hash_words(record.text))
    covered = np.zeros(n_words, dtype=bool)
    for _, first, last, _ in spans:
        covered[first:last] = True
    cut = cut_words(record.text, covered)
    if cut is None:
        return None
    text, evidence = cut
    n_kept = len(hash_words(text))
    drop, reason = settings["action"] == "drop", "repeated-passage"
    if not drop and (2 * n_kept < n_words or n_kept < shingle_words(record.text, n_words, settings["min_words"])):
        drop, reason = True, "mostly-repeated"
    longest = max(spans, key=lambda span: span[2] - span[1])
    return {
        "id": record.id,
        "reason": reason,
        "text": None if drop else text,
        "value": round(float(covered.mean()), 4),
        "match": [int(part) for part in longest[3]],
        "evidence": evidence[:EVIDENCE_CHARS],
    }
