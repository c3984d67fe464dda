"""Where words of a document stand in an earlier document, too: fingerprints by winnowing, then the whole repeated passage.

A fingerprint is the least hash of each WINDOW consecutive runs of words (Schleimer, Wilkerson, Aiken, "Winnowing", SIGMOD
2003), so two texts that share run + window - 1 words share a fingerprint; 2 of window + 1 runs are one. From a fingerprint,
a passage is followed as far as the words are equal.

Shapes: W words of a document, R runs, F fingerprints.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from lmcraft.data.words import Hashes, run_hashes
from lmcraft.preparation.stages.duplicates.corpus import Int64

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Span:
    """Words of a document that repeat those of an earlier place."""

    first: int
    last: int  # + 1
    match: int  # the number of the document with that place


def fingerprints(words_W: Hashes, min_words: int) -> tuple[Hashes, Int64]:
    """The fingerprints of a document, (F,) each: hashes, and the place of each run's first word.

    Two texts that share `min_words` words share one.
    """
    window = max(1, min_words // 3)
    runs_R = run_hashes(words_W, min_words - window + 1)
    if len(runs_R) < window:
        return np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64)
    places = np.unique(sliding_window_view(runs_R, window).argmin(axis=1) + np.arange(len(runs_R) - window + 1))
    return runs_R[places], places


def short_hashes(words_W: Hashes) -> Bytes:
    """One byte of each word's hash, (W,), by which a passage is followed."""
    return (words_W >> np.uint64(56)).astype(np.uint8)


def follow(words_W: Bytes, word: int, other_words_W: Bytes, other_word: int) -> tuple[int, int]:
    """The first and the last word + 1 of the passage around a word that stands around a word of another document, too."""
    back = min(word, other_word)
    before = np.flatnonzero(words_W[word - back : word] != other_words_W[other_word - back : other_word])
    first = word - back + (int(before[-1]) + 1 if len(before) else 0)
    ahead = min(len(words_W) - word, len(other_words_W) - other_word)
    after = np.flatnonzero(words_W[word : word + ahead] != other_words_W[other_word : other_word + ahead])
    return first, word + (int(after[0]) if len(after) else ahead)
