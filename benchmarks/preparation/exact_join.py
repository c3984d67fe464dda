"""All pairs of documents whose sets of runs are similar, exactly: what a search for near-duplicates should find.

It shares no code with lmcraft's search. Two sets with Jaccard similarity t or more must share one of their rarest runs: of
a set of n, at least t * n are shared, so the n - ceil(t * n) + 1 rarest ones of both have one in common (prefix filtering,
Bayardo et al., "Scaling up all pairs similarity search", WWW 2007). Candidates are then compared as sets of strings.

Shapes: N documents, H runs of all documents.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import ceil

import numpy as np
from numpy.typing import NDArray

from benchmarks.preparation.planted import jaccard, runs_of

CACHED_DOCUMENTS = 256
Uint64 = NDArray[np.uint64]


def similar_pairs(texts: Sequence[str], threshold: float) -> dict[tuple[int, int], float]:
    """The similarity of each pair that reaches the threshold, by the smaller and the larger number."""
    cached_runs = lru_cache(CACHED_DOCUMENTS)(lambda number: runs_of(texts[number]))
    sets = [_number_runs(text) for text in texts]
    ranks = _rank(sets)
    found = {}
    for first, second in _candidates(ranks, threshold):
        own, its = ranks[first], ranks[second]
        shared = len(np.intersect1d(own, its, assume_unique=True))
        if shared >= (threshold - 0.01) * (len(own) + len(its) - shared):
            similarity = jaccard(cached_runs(first), cached_runs(second))
            if similarity >= threshold:
                found[first, second] = similarity
    return found


def _number_runs(text: str) -> Uint64:
    """The runs of a text by 8 bytes of their BLAKE2; two that collide only make a candidate."""
    digests = b"".join(blake2b(run.encode(), digest_size=8).digest() for run in runs_of(text))
    return np.frombuffer(digests, dtype=np.uint64)


def _rank(sets: list[Uint64]) -> list[NDArray[np.int64]]:
    """Each set by the places of its runs in the order of rarity, ascending; replaces `sets`."""
    lengths = [len(numbers) for numbers in sets]
    flat_H = np.concatenate(sets)
    sets.clear()
    distinct, inverse, counts = np.unique(flat_H, return_inverse=True, return_counts=True)
    places = np.empty(len(distinct), dtype=np.int64)
    places[np.argsort(counts, kind="stable")] = np.arange(len(distinct))
    return [np.sort(part) for part in np.split(places[inverse], np.cumsum(lengths)[:-1])]


def _candidates(ranks: Sequence[NDArray[np.int64]], threshold: float) -> Iterator[tuple[int, int]]:
    """Pairs that share one of their rarest runs and whose sizes allow the threshold, each once."""
    sizes = np.array([len(rank) for rank in ranks])
    prefixes = [rank[: len(rank) - ceil(threshold * len(rank) - 1e-9) + 1] for rank in ranks]
    runs = np.concatenate(prefixes)
    documents = np.repeat(np.arange(len(ranks)), [len(prefix) for prefix in prefixes])
    order = np.lexsort((documents, runs))
    runs, documents = runs[order], documents[order]
    seen = np.empty(0, dtype=np.int64)
    offset, left = 1, np.arange(len(runs))
    while len(left):
        left = left[left + offset < len(runs)]
        left = left[runs[left] == runs[left + offset]]
        first, second = documents[left], documents[left + offset]
        fits = np.minimum(sizes[first], sizes[second]) >= threshold * np.maximum(sizes[first], sizes[second])
        seen = np.union1d(seen, first[fits] * len(ranks) + second[fits])
        offset += 1
    yield from zip((seen // len(ranks)).tolist(), (seen % len(ranks)).tolist(), strict=True)
