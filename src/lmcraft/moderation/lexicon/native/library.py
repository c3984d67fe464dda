"""The automaton in C++."""

import weakref
from collections.abc import Sequence
from ctypes import c_int64, c_void_p
from pathlib import Path

import numpy as np

from lmcraft.cpp.library import Source, load_library
from lmcraft.moderation.lexicon.characters import character_kinds
from lmcraft.moderation.lexicon.matcher import MAX_MATCHES_PER_END, Matches

SOURCE = Source(Path(__file__).with_name("automaton.cpp"), "the search for words")
MIN_CAPACITY = 256  # matches for which there is room at first


class NativeMatcher:
    """`TokenMatcher` in C++.

    Args:
        keys: different ones, each the tokens of `split_key`.

    Raises:
        BuildError: there is no compiler, or it failed.
    """

    def __init__(self, keys: Sequence[Sequence[str]]) -> None:
        library = load_library(SOURCE)
        library.automaton_build.restype = c_void_p
        self._find = library.automaton_find
        self._find.restype = c_int64
        texts = ["".join(tokens) for tokens in keys]
        data = "".join(texts).encode("utf-32-le", "surrogatepass")
        starts = np.concatenate([[0], np.cumsum([len(text) for text in texts], dtype=np.int64)]).astype(np.int64)
        self._kinds = character_kinds()  # the automaton reads it
        pointers = c_void_p(starts.ctypes.data), c_int64(len(texts)), c_void_p(self._kinds.ctypes.data)
        self._automaton = c_void_p(library.automaton_build(data, *pointers))
        weakref.finalize(self, library.automaton_free, self._automaton)

    def find(self, text: str) -> Matches:
        """All matches of keys in a text, overlapping ones, too."""
        char_bytes = 1 if text.isascii() else 4
        data = text.encode() if char_bytes == 1 else text.encode("utf-32-le", "surrogatepass")
        count, matches = MIN_CAPACITY, np.empty((0, 3), dtype=np.int64)
        while count > len(matches):  # twice at most
            matches = np.empty((count, 3), dtype=np.int64)
            pointer = c_void_p(matches.ctypes.data)
            limits = c_int64(len(text)), c_int64(MAX_MATCHES_PER_END)
            count = self._find(self._automaton, data, c_int64(char_bytes), *limits, pointer, c_int64(count))
        matches = matches[:count]
        return matches[np.lexsort((matches[:, 1], matches[:, 0]))]
