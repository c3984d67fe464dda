"""How much of a text consists of the words of menus, notices, shops and sales, which lists in `phrases/` name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.config import read_toml
from lmcraft.data.words import Hashes, hash_words, run_hashes

FOLDER = Path(__file__).parent / "phrases"
SEPARATOR = re.compile(r"[;\n]")
N_BUCKETS = 2**16


@dataclass(frozen=True)
class PhraseList:
    """Phrases of one length, as the hashes of runs of words."""

    length: int
    hashes: Hashes
    """In ascending order."""
    buckets: NDArray[np.bool_]
    """Whether some hash has these last bits: spares the search for nearly all runs."""

    def find(self, words_W: Hashes) -> NDArray[np.intp]:
        """Where phrases begin, in words."""
        runs_R = run_hashes(words_W, self.length)
        candidates = np.flatnonzero(self.buckets[(runs_R & np.uint64(N_BUCKETS - 1)).astype(np.intp)])
        places = np.searchsorted(self.hashes, runs_R[candidates]).clip(max=len(self.hashes) - 1)
        begins: NDArray[np.intp] = candidates[self.hashes[places] == runs_R[candidates]]
        return begins


def phrase_share(words_W: Hashes, names: Sequence[str]) -> float:
    """The share of words in phrases of the lists."""
    if not len(words_W):
        return 0.0
    covered_W = np.zeros(len(words_W), dtype=np.bool_)
    for phrases in _phrase_lists(tuple(names)):
        begins = phrases.find(words_W)
        for offset in range(phrases.length):
            covered_W[begins + offset] = True
    return float(np.count_nonzero(covered_W)) / len(words_W)


@cache
def _phrase_lists(names: tuple[str, ...]) -> list[PhraseList]:
    by_length: dict[int, set[int]] = {}
    for name in names:
        for section in read_toml(FOLDER / f"{name}.toml").values():
            for phrase in SEPARATOR.split(section):
                words_W = hash_words(phrase)
                if length := len(words_W):
                    by_length.setdefault(length, set()).add(int(run_hashes(words_W, length)[0]))
    lists = []
    for length, hashes in sorted(by_length.items()):
        ordered = np.array(sorted(hashes), dtype=np.uint64)
        buckets = np.zeros(N_BUCKETS, dtype=np.bool_)
        buckets[(ordered & np.uint64(N_BUCKETS - 1)).astype(np.intp)] = True
        lists.append(PhraseList(length, ordered, buckets))
    return lists
