"""Opens the compiled unmasking after as much text as is worth compiling it for."""

import threading
from collections.abc import Iterator
from ctypes import c_int64, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lmcraft.cpp.library import BuildError, Source, is_compiled, load_library

SOURCE = Source(Path(__file__).with_name("unmasking.cpp"), "disguised words")
MIN_CHARS = 2_000_000
"""Arrays need half a second for so much text; compiling takes some seconds."""
READINGS = 4


class NativeUnmasking:
    """The readings of `unmasking.py` in C++.

    Args:
        kinds: the kind of each code point.
        letters: the letters of the first code points.

    Raises:
        BuildError: there is no compiler, or it failed.
    """

    def __init__(self, kinds: NDArray[np.uint8], letters: NDArray[np.uint32]) -> None:
        self._unmask = load_library(SOURCE).unmask_words
        self._unmask.restype = None
        self._kinds, self._letters = kinds, letters  # the library reads them

    def read(self, text: str) -> Iterator[tuple[int, NDArray[np.uint32], NDArray[np.int32]]]:
        """Of each reading that there is: its number, (T,) characters, and (T + 1,) their indices in the text and its end."""
        char_bytes = 1 if text.isascii() else 4
        data = text.encode() if char_bytes == 1 else text.encode("utf-32-le", "surrogatepass")
        capacity = 2 * len(text) + 2
        codes, indices = np.empty(READINGS * capacity, np.uint32), np.empty(READINGS * capacity, np.int32)
        counts = np.empty(READINGS, dtype=np.int64)
        pointers = [c_void_p(array.ctypes.data) for array in (self._kinds, self._letters, codes, indices, counts)]
        self._unmask(
            data, c_int64(char_bytes), c_int64(len(text)), *pointers[:2], c_int64(len(self._letters)), *pointers[2:]
        )
        for number, count in enumerate(counts.tolist()):
            if count >= 0:
                yield number, codes[:count], indices[: count + 1]
                codes, indices = codes[count:], indices[count + 1 :]


class Opener:
    """Opens the library if it is compiled, else after some text, which a thread of its own compiles it for.

    Args:
        kinds: see `NativeUnmasking`.
        letters: see `NativeUnmasking`.
    """

    def __init__(self, kinds: NDArray[np.uint8], letters: NDArray[np.uint32]) -> None:
        self._tables = kinds, letters
        self._chars, self._is_due = 0, True
        self._library: NativeUnmasking | None = None
        if is_compiled(SOURCE):
            self._open()

    def count(self, chars: int) -> NativeUnmasking | None:
        """The library as far as it is open, before a text of some characters."""
        self._chars += chars
        if self._is_due and self._chars > MIN_CHARS:
            self._is_due = False
            threading.Thread(target=self._open, name="compile-unmasking").start()
        return self._library

    def _open(self) -> None:
        self._is_due = False
        try:
            self._library = NativeUnmasking(*self._tables)
        except BuildError:  # arrays stay
            return
