"""Encodes many texts: with the library at first, and in C++ after as much text as is worth compiling it for."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.cpp.library import is_compiled
from lmcraft.processor import usable_cpus
from lmcraft.tokenizer.native.encoder import SOURCE, NativeEncoder, open_encoder

MIN_CHARS = 1_000_000  # a quarter of a second of the library, while the first compilation takes some seconds
MIN_CHARS_COMPILED = 100_000  # opening takes a tenth of a second
MIN_THREADED_CHARS = 200_000
Ids = NDArray[np.uint32]


class BulkEncoder:
    """The token ids of texts, the same in both ways."""

    def __init__(self, hf: HFTokenizer, encode: Callable[[Sequence[str]], Sequence[Sequence[int]]]) -> None:
        """Encode with a tokenizer.

        Args:
            hf: the tokenizer.
            encode: the ids of texts by the library.
        """
        self._hf, self._encode = hf, encode
        self._chars = 0
        self._min_chars: int | None = None  # before the compiled code is opened
        self._native: NativeEncoder | None = None

    def expect(self, chars: int) -> None:
        """Count text that is about to be encoded, and open the compiled code if it is enough with what came before."""
        if self._min_chars is None:
            self._min_chars = min(MIN_CHARS, MIN_CHARS_COMPILED) if is_compiled(SOURCE) else MIN_CHARS
        if self._chars < self._min_chars <= self._chars + chars:
            self._native = open_encoder(self._hf)
        self._chars += chars

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, (T,); on all cores, or as many as RAYON_NUM_THREADS says, as in the library."""
        chars = sum(map(len, texts))
        self.expect(chars)
        if self._native is None:
            return [np.array(ids, np.uint32) for ids in self._encode(texts)]
        threads = min(len(texts), _thread_count())
        if threads < 2 or chars < MIN_THREADED_CHARS:
            return [self._encode_one(text) for text in texts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(self._encode_one, texts))

    def _encode_one(self, text: str) -> Ids:
        assert self._native is not None
        ids = self._native.encode(text)
        return np.array(self._encode([text])[0], np.uint32) if ids is None else ids


def _thread_count() -> int:
    limit = os.environ.get("RAYON_NUM_THREADS", "")
    return int(limit) if limit.isdecimal() and int(limit) else usable_cpus()
