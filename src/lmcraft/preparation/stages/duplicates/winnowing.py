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


def follow(own_W: Bytes, place: int, its_W: Bytes, other: int) -> tuple[int, int]:
    """The first and the last word + 1 of the passage around the word at `place` that stands around `other`, too."""
    back = min(place, other)
    before = np.flatnonzero(own_W[place - back : place] != its_W[other - back : other])
    first = place - back + (int(before[-1]) + 1 if len(before) else 0)
    ahead = min(len(own_W) - place, len(its_W) - other)
    after = np.flatnonzero(own_W[place : place + ahead] != its_W[other : other + ahead])
    return first, place + (int(after[0]) if len(after) else ahead)
