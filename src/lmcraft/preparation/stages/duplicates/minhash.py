"""Shingles of documents, their similarity, and the keys of their MinHash bands: similar sets probably share a key.

With `bands` of `rows` values, two sets of Jaccard similarity s share a key with probability 1 - (1 - s**rows)**bands
(Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, section 3.4): 99% for s = 0.8, 25 bands and 8 rows, 2% for s = 0.4.

Shapes: D documents, H shingles of all documents, P = bands * rows hash functions.
"""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import Hashes, count_single_words, mix_bits, run_hashes

CHARS_PER_WORD = 1.7  # of Chinese, as jieba cuts modern text
SEED = 20
MAX_VALUES = 200  # of a signature
MIN_SHARED = 0.989  # probability that two sets of the least similarity share a key
Shingles = NDArray[np.uint32]


def choose_banding(similarity: float) -> tuple[int, int]:
    """Bands and rows: as many rows as still let 99% of the pairs of a similarity share a key; 25 and 8 for 0.8."""
    for rows in range(MAX_VALUES, 1, -1):
        bands = MAX_VALUES // rows
        if 1 - (1 - similarity**rows) ** bands >= MIN_SHARED:
            return bands, rows
    return MAX_VALUES, 1


def shingle_words(text: str, n_words: int, shingle: int) -> int:
    """The length of a text's shingles: longer where most words are single characters, as in Chinese (8 for 5)."""
    return round(shingle * CHARS_PER_WORD) if 2 * count_single_words(text) > n_words else shingle


def shingle_set(words_W: Hashes, length: int) -> Shingles:
    """The distinct runs of `length` words, as hashes in ascending order."""
    runs = (run_hashes(words_W, length) >> np.uint64(32)).astype(np.uint32)
    runs.sort()
    return runs[np.concatenate([[True], runs[1:] != runs[:-1]])] if len(runs) else runs


def jaccard(shingles: Shingles, others: Shingles, threshold: float = 0.0) -> float:
    """The Jaccard similarity of two sets; 0 if their sizes alone make it less than the threshold."""
    if min(len(shingles), len(others)) < threshold * max(len(shingles), len(others)) - 1e-9:
        return 0.0
    both = np.concatenate([shingles, others])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    total = len(both) - shared
    return shared / total if total else 0.0


def band_keys(sets: Sequence[Shingles], bands: int, rows: int) -> NDArray[np.uint64]:
    """The keys of sets that are not empty, (D, bands)."""
    if not sets:
        return np.empty((0, bands), dtype=np.uint64)
    flat_H = mix_bits(np.concatenate(sets).astype(np.uint64))
    starts = np.concatenate([[0], np.cumsum([len(shingles) for shingles in sets])]).astype(np.uint64)
    signatures = _rensa_signatures if library() != "numpy" else _numpy_signatures
    values = signatures(flat_H, starts, bands * rows).reshape(len(sets), bands, rows)
    keys = np.zeros((len(sets), bands), dtype=np.uint64)
    for row in range(rows):
        keys = mix_bits(keys ^ values[:, :, row])
    return keys


def library() -> str:
    """What computes the signatures, on which the keys depend."""
    if importlib.util.find_spec("rensa") is None:
        return "numpy"
    return f"rensa {importlib.metadata.version('rensa')}"


def _rensa_signatures(flat_H: Hashes, starts: NDArray[np.uint64], count: int) -> NDArray[np.uint32]:
    from rensa import RMinHash

    return np.array(RMinHash.digest_matrix_from_flat_token_hashes(flat_H, starts, count, SEED).to_rows(), dtype=np.uint32)


def _numpy_signatures(flat_H: Hashes, starts: NDArray[np.uint64], count: int) -> NDArray[np.uint32]:
    firsts = starts[:-1].astype(np.int64)
    signatures = np.empty((len(firsts), count), dtype=np.uint32)
    for number, factor in enumerate(_factors(count)):
        hashes = (flat_H * factor) >> np.uint64(32)
        signatures[:, number] = np.minimum.reduceat(hashes, firsts)
    return signatures


@cache
def _factors(count: int) -> Hashes:
    return mix_bits(np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)
