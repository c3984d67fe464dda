"""Encodes with the compiled BPE."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import c_int64, c_void_p
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer as HFTokenizer

from lmcraft.cpp.library import BuildError, Source, load_library
from lmcraft.tokenizer.native.settings import BpeSettings, read_settings

SOURCE = Source(Path(__file__).with_name("bpe.cpp"), "the tokenizer")
MAX_TEXT_BYTES = 1 << 30
SPARE_IDS = 7  # that the compiled code may write after those of a text
# What is compared with the library before the first use.
SAMPLE = (
    "The quick brown fox's 12,345 jumps!\n\n\tdef f(x): return [x]  # don't WE'LL I've\r\n  天地玄黄,宇宙洪荒。　\u3000日月"
    "Ünïcödé e\u0301 🙂👩‍👩‍👧 مرحبا ½ Ⅷ ٣٤٥ 'ſ \u00a0\u2028 \u200b한국어 "
) * 3


class NativeEncoder:
    """The ids of a tokenizer's texts, computed in C++; for several threads at once, which it does not keep from Python."""

    def __init__(self, hf: HFTokenizer, settings: BpeSettings, library: ctypes.CDLL) -> None:
        """Use `open_encoder`."""
        self._hf, self._library, self._composes = hf, library, settings.composes
        splitting = settings.splitting
        numbers = np.array([splitting.style, splitting.digits, splitting.split_digits], np.int32)
        spellings = b"".join(settings.whole)
        ends = np.cumsum([len(spelling) for spelling in settings.whole], dtype=np.int64)
        ids = np.array(list(settings.whole.values()), np.uint32)
        arrays = [array.ctypes.data_as(c_void_p) for array in (settings.classes, settings.byte_ids, settings.merges)]
        self._encoder = c_void_p(
            library.bpe_create(
                *arrays,
                c_int64(len(settings.merges)),
                spellings,
                ends.ctypes.data_as(c_void_p),
                ids.ctypes.data_as(c_void_p),
                c_int64(len(ids)),
                numbers.ctypes.data_as(c_void_p),
            )
        )
        self._states: list[c_void_p] = []  # that no thread uses now
        added = hf.get_added_tokens_decoder().values()
        self._added = [token.content for token in added if not token.special]

    def __del__(self) -> None:
        for state in self._states:
            self._library.bpe_destroy_state(state)
        self._library.bpe_destroy(self._encoder)

    def encode(self, text: str) -> NDArray[np.uint32] | None:
        """The token ids of a text, (T,); None if only the library knows them, or it has lone surrogates."""
        try:
            data = text.encode()
        except UnicodeEncodeError:
            return None
        if len(data) > MAX_TEXT_BYTES or any(token in text for token in self._added):
            return None
        if self._composes and self._library.bpe_may_compose(self._encoder, data, c_int64(len(data))):
            text = self._hf.normalizer.normalize_str(text)
            data = text.encode()
            if any(token in text for token in self._added):
                return None
        ids = np.empty(len(data) + SPARE_IDS, np.uint32)
        with self._state() as state:
            count = self._library.bpe_encode(self._encoder, state, data, c_int64(len(data)), ids.ctypes.data_as(c_void_p))
        return ids[:count].copy() if count >= 0 else None

    @contextmanager
    def _state(self) -> Iterator[c_void_p]:
        try:
            state = self._states.pop()
        except IndexError:
            state = c_void_p(self._library.bpe_create_state())
        yield state
        self._states.append(state)


def open_encoder(hf: HFTokenizer) -> NativeEncoder | None:
    """The compiled encoder of a tokenizer; None if it would not compute the same ids, or cannot be compiled here."""
    settings = read_settings(hf)
    if settings is None:
        return None
    try:
        encoder = NativeEncoder(hf, settings, _load())
    except BuildError as error:
        print(f"encoding with `tokenizers`, which is several times slower: {error}", file=sys.stderr)
        return None
    for text in (SAMPLE, *SAMPLE.splitlines()):
        ids = encoder.encode(text)
        if ids is not None and ids.tolist() != hf.encode(text, add_special_tokens=False).ids:
            return None
    return encoder


def _load() -> ctypes.CDLL:
    library = load_library(SOURCE)
    library.bpe_create.restype = library.bpe_create_state.restype = c_void_p
    library.bpe_may_compose.restype = ctypes.c_bool
    library.bpe_encode.restype = c_int64
    return library
