"""Arrays of different length, one per document: `NAME.bin`, with `NAME-offsets.bin` (int64, one more than arrays).

They are read with `pread`, not mapped, since mapped pages would count as memory.
"""

import os
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lmcraft.preparation.stages.duplicates.corpus import Corpus

MAX_OPEN_UNITS, MAX_CACHED_BYTES = 64, 2**26


class RaggedWriter:
    """Writes the arrays of a unit."""

    def __init__(self, folder: Path, name: str) -> None:
        self._values, self._offsets = (file.open("wb") for file in _files(folder, name))
        self._end = 0
        self._offsets.write(np.int64(0).tobytes())

    def write(self, array: NDArray[Any]) -> None:
        """Append the array of the next document."""
        self._values.write(array.tobytes())
        self._end += len(array)
        self._offsets.write(np.int64(self._end).tobytes())

    def close(self) -> None:
        """Close the files."""
        self._values.close()
        self._offsets.close()


class RaggedReader:
    """Reads the array of any document of a corpus; the latest ones are kept."""

    def __init__(self, corpus: Corpus, name: str, dtype: DTypeLike) -> None:
        self._corpus, self._name, self._dtype = corpus, name, np.dtype(dtype)
        self._files: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self._arrays: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._cached_bytes = 0

    def __enter__(self) -> "RaggedReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        while self._files:
            self._close(self._files.popitem()[1])

    def read(self, number: int) -> NDArray[Any]:
        """The array of a document of the corpus."""
        if number in self._arrays:
            self._arrays.move_to_end(number)
            return self._arrays[number]
        unit, index = self._corpus.locate(number)
        values, offsets = self._open(unit)
        first, last = np.frombuffer(os.pread(offsets, 16, 8 * index), dtype=np.int64).tolist()
        size = self._dtype.itemsize
        array = np.frombuffer(os.pread(values, size * (last - first), size * first), dtype=self._dtype)
        self._arrays[number] = array
        self._cached_bytes += array.nbytes
        while self._cached_bytes > MAX_CACHED_BYTES:
            self._cached_bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array

    def _open(self, unit: int) -> tuple[int, int]:
        if unit in self._files:
            self._files.move_to_end(unit)
            return self._files[unit]
        if len(self._files) >= MAX_OPEN_UNITS:
            self._close(self._files.popitem(last=False)[1])
        values, offsets = (os.open(file, os.O_RDONLY) for file in _files(self._corpus.folders[unit], self._name))
        self._files[unit] = values, offsets
        return values, offsets

    def _close(self, descriptors: tuple[int, int]) -> None:
        for descriptor in descriptors:
            os.close(descriptor)


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.bin", folder / f"{name}-offsets.bin"
