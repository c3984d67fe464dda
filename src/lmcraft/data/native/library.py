"""Opens the compiled words after as much text as is worth compiling them for."""

import ctypes
from ctypes import c_int64, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.cpp.library import BuildError, Source, is_compiled, load_library

SOURCE = Source(Path(__file__).with_name("words.cpp"), "the words of texts")
MIN_CHARS = 20_000_000  # arrays need half a second for these; compiling takes some seconds
MIN_CHARS_COMPILED = 20_000


Arrays = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


class NativeWords:
    """The functions of words.cpp, on the tables of characters of `data/words.py`."""

    def __init__(self, library: ctypes.CDLL, kinds: NDArray[np.uint8], values: NDArray[np.uint32]) -> None:
        self._scan, self._count_runs = library.words_scan, library.words_count_runs
        self._join, self._count_marked = library.words_join, library.words_count_marked
        self._scan.restype = self._join.restype = c_int64
        self._tables = kinds, np.ascontiguousarray(values)
        self._pointers = [table.ctypes.data_as(c_void_p) for table in self._tables]

    def scan(self, data: bytes, char_bytes: int) -> Arrays | None:
        """The hashes, starts, stops and kinds of the tokens of a text in ASCII or UTF-32, (T,) each.

        Returns: None if a character folds to several.
        """
        size = len(data) // char_bytes
        out = np.empty(3 * size + size // 8 + 1, dtype=np.uint64)
        count = self._scan(data, c_int64(char_bytes), c_int64(size), *self._pointers, c_void_p(out.ctypes.data))
        return None if count < 0 else _arrays(out, size, count)

    def scan_joined(self, data: bytes, char_bytes: int) -> Arrays | None:
        """As `scan`, with words joined that have an apostrophe, dot, underscore or at sign between them, and no space."""
        size = len(data) // char_bytes
        out = np.empty(3 * size + size // 8 + 1, dtype=np.uint64)
        pointer = c_void_p(out.ctypes.data)
        count = self._scan(data, c_int64(char_bytes), c_int64(size), *self._pointers, pointer)
        if count < 0:
            return None
        return _arrays(out, size, self._join(data, c_int64(char_bytes), c_int64(size), c_int64(count), pointer))

    def count_marked(
        self, hashes: NDArray[np.uint64], words: NDArray[np.bool_], pairs: NDArray[np.bool_]
    ) -> tuple[int, int]:
        """The number of hashes, and of runs of two, whose last 16 bits have a mark in the tables."""
        out = np.empty(2, dtype=np.int64)
        pointers = [c_void_p(array.ctypes.data) for array in (hashes, words, pairs, out)]
        self._count_marked(pointers[0], c_int64(len(hashes)), *pointers[1:])
        return int(out[0]), int(out[1])

    def count_runs(self, hashes: NDArray[np.uint64], length: int) -> list[int]:
        """How often the most frequent run stands there, where it first begins, and how many runs repeat an earlier one."""
        out = np.empty(3, dtype=np.int64)
        pointers = c_void_p(hashes.ctypes.data), c_void_p(out.ctypes.data)
        self._count_runs(pointers[0], c_int64(len(hashes)), c_int64(length), pointers[1])
        counts: list[int] = out.tolist()
        return counts


def _arrays(out: NDArray[np.uint64], size: int, count: int) -> Arrays:
    places = out.view(np.int64)
    kinds = out[3 * size :].view(np.uint8)[:count]
    return out[:count], places[size : size + count], places[2 * size : 2 * size + count], kinds


class Opener:
    """Counts text, and opens the library when that is enough."""

    def __init__(self) -> None:
        self._chars = 0
        self._min_chars: int | None = None
        self._is_announced = False

    def is_due(self, chars: int) -> bool:
        """Whether the text so far, with these characters, is worth opening the library for; never if text is announced."""
        return not self._is_announced and self._count(chars)

    def announce(self, chars: int) -> bool:
        """Whether the text announced so far, with these characters, is worth opening the library for."""
        self._is_announced = True
        return self._count(chars)

    def _count(self, chars: int) -> bool:
        if self._min_chars is None:
            self._min_chars = MIN_CHARS_COMPILED if is_compiled(SOURCE) else MIN_CHARS
        before, self._chars = self._chars, self._chars + chars
        return before < self._min_chars <= self._chars

    @staticmethod
    def open(kinds: NDArray[np.uint8], values: NDArray[np.uint32]) -> NativeWords | None:
        """The library; None if there is no compiler."""
        try:
            return NativeWords(load_library(SOURCE), kinds, values)
        except BuildError:
            return None
