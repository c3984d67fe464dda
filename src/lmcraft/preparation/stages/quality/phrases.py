"""How much of a text consists of the words of menus, notices, shops and sales, which lists in `phrases/` name."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.config import read_toml
from lmcraft.data.words import Hashes, count_marked, hash_words, run_hashes

FOLDER = Path(__file__).parent / "phrases"
SEPARATOR = re.compile(r"[;\n]")
N_BUCKETS = 2**16


@dataclass(frozen=True)
class Phrases:
    """Phrases, as the hashes of their words."""

    by_length: Mapping[int, Hashes]
    """The hashes of phrases of so many words, as runs, in ascending order."""
    words: NDArray[np.bool_]
    """Whether some phrase of one word has a hash that ends with these bits."""
    pairs: NDArray[np.bool_]
    """Whether some two words that stand together in a phrase have a hash, as a run, that ends with these bits."""

    def bound(self, words_W: Hashes) -> float:
        """At least the share of words in phrases; costs little."""
        words, pairs = count_marked(words_W, self.words, self.pairs)
        return (words + 2 * pairs) / len(words_W)

    def share(self, words_W: Hashes) -> float:
        """The share of words in phrases."""
        covered_W = np.zeros(len(words_W), dtype=np.bool_)
        for length, hashes in self.by_length.items():
            begins = np.flatnonzero(np.isin(run_hashes(words_W, length), hashes))
            for offset in range(length):
                covered_W[begins + offset] = True
        return float(np.count_nonzero(covered_W)) / len(words_W)


def phrase_share(words_W: Hashes, names: Sequence[str], limit: float) -> float:
    """The share of words in phrases of the lists; less if it is certain not to exceed `limit`."""
    phrases = _read_phrases(tuple(names))
    return phrases.share(words_W) if len(words_W) and phrases.bound(words_W) > limit else 0.0


def _buckets(hashes: Hashes) -> NDArray[np.intp]:
    return (hashes & np.uint64(N_BUCKETS - 1)).astype(np.intp)


@cache
def _read_phrases(names: tuple[str, ...]) -> Phrases:
    sections = [section for name in names for section in read_toml(FOLDER / f"{name}.toml").values()]
    phrases = [hash_words(phrase) for section in sections for phrase in SEPARATOR.split(section)]
    by_length: dict[int, set[int]] = {}
    words, pairs = np.zeros(N_BUCKETS, dtype=np.bool_), np.zeros(N_BUCKETS, dtype=np.bool_)
    for words_W in phrases:
        if length := len(words_W):
            by_length.setdefault(length, set()).add(int(run_hashes(words_W, length)[0]))
            pairs[_buckets(run_hashes(words_W, 2))] = True
            words[_buckets(words_W) if length == 1 else []] = True
    hashes = {length: np.array(sorted(runs), dtype=np.uint64) for length, runs in sorted(by_length.items())}
    return Phrases(hashes, words, pairs)
