"""Finds in texts the runs of words that items have: of `run_words` words, or all words of an item with fewer.

The index is arrays only, so that processes which read it need no more than NumPy.

Shapes: R runs of all items; W words of a document.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.words import Hashes, hash_words, run_hashes

RUN_WORDS, MIN_WORDS = 13, 8
MAX_ITEMS_PER_RUN = 2  # a run of words in more items is part of their template
MIN_FILTER_BITS, MAX_FILTER_BITS = 10, 24


Items = NDArray[np.uint32]


class Occurrence(NamedTuple):
    """Words `first` to `last`, which is not one of them, of a document are a run of an item."""

    item: int
    first: int
    last: int


@dataclass(frozen=True)
class _Runs:
    """The runs of one length."""

    length: int
    hashes: Hashes
    """(R,), sorted; those of several items are repeated."""
    items: Items
    """(R,)."""

    @cached_property
    def _filter(self) -> tuple[NDArray[np.bool_], np.uint64]:
        """Whether a run begins with certain bits, which most words of a document show not to be the case."""
        bits = min(max(MIN_FILTER_BITS, len(self.hashes).bit_length() + 4), MAX_FILTER_BITS)
        shift = np.uint64(64 - bits)
        seen = np.zeros(2**bits, dtype=np.bool_)
        seen[self.hashes >> shift] = True
        return seen, shift

    def find(self, words_W: Hashes) -> Iterator[Occurrence]:
        runs = run_hashes(words_W, self.length)
        seen, shift = self._filter
        positions = np.flatnonzero(seen[runs >> shift])
        starts = np.searchsorted(self.hashes, runs[positions]).clip(max=len(self.hashes) - 1)
        hits = self.hashes[starts] == runs[positions]
        for position, start in zip(positions[hits].tolist(), starts[hits].tolist(), strict=True):
            stop = int(np.searchsorted(self.hashes, runs[position], "right"))
            for item in self.items[start:stop].tolist():
                yield Occurrence(item, position, position + self.length)


@dataclass(frozen=True)
class RunIndex:
    """The runs of items, by length."""

    runs: Sequence[_Runs]

    @classmethod
    def build(cls, groups: Sequence[Mapping[int, str]], run_words: int = RUN_WORDS) -> "RunIndex":
        """Index the texts of items, by their number.

        Args:
            groups: items whose common runs are part of a template, such as those of a task.
            run_words: number of words of a run. An item has at least `MIN_WORDS`, or it cannot be found.
        """
        parts: dict[int, list[tuple[Hashes, Items]]] = defaultdict(list)
        for texts in groups:
            for length, part in _runs_of_group(texts, run_words):
                parts[length].append(part)
        by_length = []
        for length in sorted(parts):
            hashes, items = (np.concatenate(column) for column in zip(*parts[length], strict=True))
            order = np.lexsort((items, hashes))
            by_length.append(_Runs(length, hashes[order], items[order]))
        return cls(by_length)

    @cached_property
    def items(self) -> frozenset[int]:
        """The items that can be found."""
        return frozenset(item for runs in self.runs for item in np.unique(runs.items).tolist())

    def find(self, words_W: Hashes) -> list[Occurrence]:
        """Where the runs of items stand among the words of a document, in order."""
        occurrences = [occurrence for runs in self.runs for occurrence in runs.find(words_W)]
        return sorted(occurrences, key=lambda occurrence: (occurrence.first, occurrence.last, occurrence.item))

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        for runs in self.runs:
            np.save(folder / f"runs-{runs.length:03}.npy", runs.hashes)
            np.save(folder / f"items-{runs.length:03}.npy", runs.items)

    @classmethod
    def load(cls, folder: Path) -> "RunIndex":
        """Open the arrays of a folder, as memory maps."""
        files = sorted(folder.glob("runs-*.npy"))
        lengths = [int(file.stem.partition("-")[2]) for file in files]
        items = [np.load(folder / f"items-{length:03}.npy", mmap_mode="r") for length in lengths]
        hashes = [np.load(file, mmap_mode="r") for file in files]
        return cls([_Runs(*parts) for parts in zip(lengths, hashes, items, strict=True)])


def _runs_of_group(texts: Mapping[int, str], run_words: int) -> Iterator[tuple[int, tuple[Hashes, Items]]]:
    """By length, the hashes of runs and their items, without the runs of too many items."""
    hashes: dict[int, list[Hashes]] = defaultdict(list)
    items: dict[int, list[Items]] = defaultdict(list)
    for item, text in texts.items():
        words_W = hash_words(text)
        if len(words_W) >= min(MIN_WORDS, run_words):
            length = min(run_words, len(words_W))
            hashes[length].append(np.unique(run_hashes(words_W, length)))
            items[length].append(np.full(len(hashes[length][-1]), item, dtype=np.uint32))
    for length, arrays in hashes.items():
        runs, owners = np.concatenate(arrays), np.concatenate(items[length])
        _, inverse, counts = np.unique(runs, return_inverse=True, return_counts=True)
        distinct = counts[inverse] <= MAX_ITEMS_PER_RUN
        yield length, (runs[distinct], owners[distinct])
