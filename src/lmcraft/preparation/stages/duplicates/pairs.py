"""The units between the sketches of near-duplicates and their clusters: candidates, their similarity, and who stays.

Shapes: E entries (a key and a document) of a band, P pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.preparation.contracts import JsonObject, Position, Tally, Unit, UnitResult
from lmcraft.preparation.stages.duplicates.clusters import Clusters
from lmcraft.preparation.stages.duplicates.corpus import Corpus, Int64, corpus_arguments, group_units, sketches
from lmcraft.preparation.stages.duplicates.minhash import jaccard
from lmcraft.preparation.stages.duplicates.ragged import RaggedReader

VERSION = 1
UNIT_ENTRIES = 2**20  # keys that one unit sorts
BLOCK_DOCUMENTS = 2**13  # whose pairs are in memory at the same time
BUCKET_DOCUMENTS = 16  # of those that share a key, each is compared with so many of the first
SIMILAR = np.dtype([("number", "i8"), ("other", "i8"), ("jaccard", "f8"), ("priority", "i4")])
Results = Mapping[str, Sequence[UnitResult]]


def pair_units(name: str, results: Results, bands: int) -> list[Unit]:
    """A unit for some bands of all documents, or for a range of the keys of one band."""
    arguments, inputs = corpus_arguments(name, results)
    documents = max(1, sum(result.values["documents"] for result in sketches(name, results)))
    ranges, together = -(-documents // UNIT_ENTRIES), max(1, UNIT_ENTRIES // documents)
    parts = [(first, number) for first in range(0, bands, together) for number in range(ranges)]
    return [
        Unit(
            f"pairs/{name}",
            unit,
            f"{__name__}:pair",
            {**arguments, "bands": [first, min(first + together, bands)], "range": [number, ranges]},
            inputs,
            version=VERSION,
        )
        for unit, (first, number) in enumerate(parts)
    ]


def pair(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write `pairs.npy` (P, 2), ascending: documents and those that they may repeat, which take precedence."""
    corpus = Corpus.open(arguments, inputs)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    cut = 0
    for band in range(*arguments["bands"]):
        keys_E, numbers_E = _read_band(corpus, band, *arguments["range"])
        bucket_pairs, n_cut = _pair_buckets(keys_E, numbers_E)
        pairs.append(bucket_pairs)
        cut += n_cut
    np.save(out / "pairs.npy", _distinct(np.concatenate(pairs)))
    return Tally(), {"compared_with_first_only": cut}


def _read_band(corpus: Corpus, band: int, number: int, ranges: int) -> tuple[NDArray[np.uint64], Int64]:
    """The keys of a band in a range of all keys, and their documents; in order of the keys, then of precedence."""
    low, high = (min(part * 2**64 // ranges, 2**64 - 1) for part in (number, number + 1))
    keys, numbers = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for unit, start in enumerate(corpus.starts[:-1]):
        band_keys = corpus.load(unit, "keys", mapped=True)[band]
        first = int(np.searchsorted(band_keys, np.uint64(low)))
        last = len(band_keys) if number == ranges - 1 else int(np.searchsorted(band_keys, np.uint64(high)))
        keys.append(np.array(band_keys[first:last]))
        numbers.append(corpus.load(unit, "indices", mapped=True)[band, first:last].astype(np.int64) + start)
    keys_E, numbers_E = np.concatenate(keys), np.concatenate(numbers)
    order = np.lexsort((corpus.precedences(numbers_E), keys_E))
    return keys_E[order], numbers_E[order]


def _pair_buckets(keys_E: NDArray[np.uint64], numbers_E: Int64) -> tuple[Int64, int]:
    """Each document of a bucket with the bucket's first ones; the number of documents that were not compared with all."""
    begins = np.ones(len(keys_E), dtype=bool)
    begins[1:] = keys_E[1:] != keys_E[:-1]
    firsts = np.flatnonzero(begins)[np.cumsum(begins) - 1]
    places = np.arange(len(keys_E)) - firsts
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for offset in range(min(BUCKET_DOCUMENTS, int(places.max(initial=0)))):
        later = np.flatnonzero(places > offset)
        pairs.append(np.stack([numbers_E[later], numbers_E[firsts[later] + offset]], axis=1))
    return np.concatenate(pairs), int(np.count_nonzero(places > BUCKET_DOCUMENTS))


def _distinct(pairs: Int64) -> Int64:
    """Pairs in ascending order, each once."""
    ordered = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    keep = np.ones(len(ordered), dtype=bool)
    keep[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return ordered[keep]


def verify_units(name: str, results: Results, threshold: float) -> list[Unit]:
    """A unit for the pairs of the documents of some neighboring units."""
    arguments, inputs = corpus_arguments(name, results)
    pair_keys = tuple(result.unit.key for result in results[f"pairs/{name}"])
    arguments |= {"pairs": pair_keys, "threshold": threshold}
    return [
        Unit(
            f"verify/{name}",
            unit,
            f"{__name__}:verify",
            {**arguments, "documents": [start, stop]},
            (*inputs, *pair_keys),
            version=VERSION,
        )
        for unit, (start, stop) in enumerate(group_units(arguments["corpus"]))
    ]


def verify(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Write `similar.npy`, the pairs whose similarity reaches the threshold; documents ascending, others by precedence."""
    corpus = Corpus.open(arguments, inputs)
    start, stop = arguments["documents"]
    threshold = arguments["threshold"]
    rows: list[tuple[int, int, float, int]] = []
    candidates = 0
    with RaggedReader(corpus, "sets", np.uint32) as sets:
        for pairs in _read_pairs(arguments, inputs, range(start, stop, BLOCK_DOCUMENTS), stop):
            candidates += len(pairs)
            for number, other in pairs[np.lexsort((corpus.precedences(pairs[:, 1]), pairs[:, 0]))].tolist():
                similarity = jaccard(sets.read(number), sets.read(other), threshold)
                if similarity >= threshold:
                    priority = 0 if corpus.priorities is None else int(corpus.priorities[number])
                    rows.append((number, other, similarity, priority))
    similar = np.array(rows, dtype=SIMILAR)
    np.save(out / "similar.npy", similar)
    return Tally(), {"candidates": candidates, "priorities": np.unique(similar["priority"]).tolist()}


def _read_pairs(arguments: JsonObject, inputs: Mapping[str, Path], starts: range, stop: int) -> Iterator[Int64]:
    """The distinct pairs of one block of documents after the other."""
    files = [np.load(inputs[key] / "pairs.npy", mmap_mode="r") for key in arguments["pairs"]]
    for start in starts:
        last = min(start + starts.step, stop)
        ranges = [np.searchsorted(file[:, 0], [start, last]).tolist() for file in files]
        yield _distinct(np.concatenate([np.array(file[a:b]) for file, (a, b) in zip(files, ranges, strict=True)]))


def resolve_units(name: str, results: Results, threshold: float) -> list[Unit]:
    """The one unit that decides which documents stay."""
    arguments, inputs = corpus_arguments(name, results)
    verified = results[f"verify/{name}"]
    keys = [result.unit.key for result in verified]
    priorities = sorted({priority for result in verified for priority in result.values["priorities"]}, reverse=True)
    arguments |= {"similar": keys, "threshold": threshold, "priorities": priorities}
    return [Unit(f"resolve/{name}", 0, f"{__name__}:resolve", arguments, (*inputs, *keys), version=VERSION)]


def resolve(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Go through the documents in order of precedence; one that is similar to one that stays goes."""
    corpus = Corpus.open(arguments, inputs)
    clusters = Clusters(len(corpus))
    with RaggedReader(corpus, "sets", np.uint32) as sets:
        for priority in arguments["priorities"]:
            for key in arguments["similar"]:
                rows = np.load(inputs[key] / "similar.npy")
                for number, others in _by_document(rows[rows["priority"] == priority]):
                    _place(number, others, clusters, sets, arguments["threshold"])
    clusters.write(out, corpus)
    return Tally(), {}


def _by_document(rows: NDArray[Any]) -> Iterator[tuple[int, list[tuple[int, float]]]]:
    borders = np.flatnonzero(np.diff(rows["number"], prepend=-1, append=-1)).tolist()
    for first, last in pairwise(borders):
        group = rows[first:last]
        yield int(group["number"][0]), list(zip(group["other"].tolist(), group["jaccard"].tolist(), strict=True))


def _place(number: int, others: list[tuple[int, float]], clusters: Clusters, sets: RaggedReader, threshold: float) -> None:
    """Find the document that stands for this one: a similar one that stays, or one that stands for a similar one."""
    for other, similarity in others:
        if clusters.stays(other):
            clusters.remove(number, other, similarity)
            return
    for keeper in dict.fromkeys(int(clusters.keepers[other]) for other, _ in others):
        similarity = jaccard(sets.read(number), sets.read(keeper), threshold)
        if similarity >= threshold:
            clusters.remove(number, keeper, similarity)
            return
