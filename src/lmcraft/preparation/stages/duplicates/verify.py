"""True Jaccard similarity of candidates, from the sets of shingles on disk.

The sets of a unit are one file, `sets.bin` (uint32, each set ascending), with `offsets.bin` (int64, one more than sets).
They are read with `pread`, not mapped, since mapped pages would count as memory.
"""

import os
from collections import OrderedDict
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from lmcraft.preparation.stages.duplicates.corpus import Corpus
from lmcraft.preparation.stages.duplicates.minhash import Shingles

MAX_OPEN_UNITS, MAX_CACHED_SETS = 64, 512


class SetWriter:
    """Writes the sets of a unit."""

    def __init__(self, folder: Path) -> None:
        self._sets, self._offsets = (folder / "sets.bin").open("wb"), (folder / "offsets.bin").open("wb")
        self._end = 0
        self._offsets.write(np.int64(0).tobytes())

    def write(self, shingles: Shingles) -> None:
        """Append the set of the next document."""
        self._sets.write(shingles.tobytes())
        self._end += len(shingles)
        self._offsets.write(np.int64(self._end).tobytes())

    def close(self) -> None:
        """Close the files."""
        self._sets.close()
        self._offsets.close()


class SetReader:
    """Reads the set of any document of a corpus, and compares two of them."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._sets: OrderedDict[int, Shingles] = OrderedDict()

    def __enter__(self) -> "SetReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for descriptors in self._files.values():
            for descriptor in descriptors:
                os.close(descriptor)
        self._files.clear()

    def read(self, number: int) -> Shingles:
        """The set of a document; the latest ones are kept."""
        shingles = self._sets.get(number)
        if shingles is None:
            unit, place = self._corpus.locate(number)
            sets, offsets = self._open(unit)
            first, last = np.frombuffer(os.pread(offsets, 16, 8 * place), dtype=np.int64).tolist()
            shingles = np.frombuffer(os.pread(sets, 4 * (last - first), 4 * first), dtype=np.uint32)
            self._sets[number] = shingles
            if len(self._sets) > MAX_CACHED_SETS:
                self._sets.popitem(last=False)
        else:
            self._sets.move_to_end(number)
        return shingles

    def similarity(self, number: int, other: int, threshold: float) -> float:
        """The Jaccard similarity of two documents; 0 if their sizes alone make it less than the threshold."""
        own, its = self.read(number), self.read(other)
        if min(len(own), len(its)) < threshold * max(len(own), len(its)) - 1e-9:
            return 0.0
        return jaccard(own, its)

    def _open(self, unit: int) -> tuple[int, int]:
        if unit in self._files:
            self._files.move_to_end(unit)
            return self._files[unit]
        if len(self._files) >= MAX_OPEN_UNITS:
            for descriptor in self._files.popitem(last=False)[1]:
                os.close(descriptor)
        folder = self._corpus.folders[unit]
        sets, offsets = (os.open(folder / name, os.O_RDONLY) for name in ("sets.bin", "offsets.bin"))
        self._files[unit] = sets, offsets
        return sets, offsets


def jaccard(own: NDArray[np.uint32], its: NDArray[np.uint32]) -> float:
    """The Jaccard similarity of two sets: arrays without repetitions."""
    both = np.concatenate([own, its])
    both.sort()
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    total = len(both) - shared
    return shared / total if total else 0.0
