"""The words of a text as numbers, which everything that compares texts shares: overlap with tasks, duplicates, statistics.

Words are compared without case and punctuation; each Chinese, Japanese or Korean character is a word. `hash_words` computes
with arrays what `split_words` spells: equal words have equal hashes, in every process and on every machine.

Shapes: C characters, W words.
"""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SINGLE = "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]"  # characters that are words
WORD = re.compile(f"{SINGLE}|(?:(?!{SINGLE})[^\\W_])+")
CHUNK = re.compile(r"\S+")
BASE = 0x9E3779B97F4A7C15  # of the polynomials; odd
N_POWERS = 2**12  # a character's power is its place in the word, modulo this
BLOCK_CHARS = 2**16  # whose arrays fit into the processor's cache

Hashes = NDArray[np.uint64]


class HasWords(Protocol):
    """A document that remembers the hashes of its words."""

    text: str
    words: Hashes | None


def fold(text: str) -> str:
    """The text without case and forms of characters (full width, ligatures): NFKC, then case folding."""
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


def split_words(text: str) -> list[str]:
    """The words of a text, folded."""
    return WORD.findall(fold(text))


def word_spans(text: str) -> list[tuple[int, int]]:
    """Where each word stands in the text, as (start, end).

    Words that cannot be told apart there, such as those of a ligature, have the same place.
    """
    spans: list[tuple[int, int]] = []
    for chunk in CHUNK.finditer(text):
        words, parts = split_words(chunk[0]), list(WORD.finditer(chunk[0]))
        if [split_words(part[0]) for part in parts] == [[word] for word in words]:
            spans += [(chunk.start() + part.start(), chunk.start() + part.end()) for part in parts]
        else:
            spans += [chunk.span()] * len(words)
    return spans


def words_of(record: HasWords) -> Hashes:
    """The hashes of a document's words, (W,), computed once; whoever changes the text sets `words` to None."""
    if record.words is None:
        record.words = hash_words(record.text)
    return record.words


def hash_words(text: str) -> Hashes:
    """A hash of each word, (W,): a polynomial of its characters modulo 2**64, with its bits mixed."""
    codes_C = np.frombuffer(fold(text).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds_C = _character_kinds()[codes_C]
    blocks = [_hash_block(codes_C[start:stop], kinds_C[start:stop]) for start, stop in _blocks(kinds_C)]
    return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.uint64)


def run_hashes(words_W: Hashes, length: int) -> Hashes:
    """The hash of each run of `length` words, (W - length + 1,): a polynomial modulo 2**64."""
    count = len(words_W) - length + 1
    if count <= 0:
        return np.empty(0, dtype=np.uint64)
    total, doubled, size = np.zeros(count, dtype=np.uint64), words_W, 1  # `doubled`: runs of `size` words
    start = 0
    while True:
        if length & size:
            total = total * _power(size) + doubled[start : start + count]
            start += size
        if 2 * size > length:
            return total
        doubled = doubled[:-size] * _power(size) + doubled[size:]
        size *= 2


def count_single_words(text: str) -> int:
    """The number of characters of a text that are words of their own: Chinese, Japanese, Korean."""
    if text.isascii():
        return 0
    codes_C = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return int(np.count_nonzero(_character_kinds()[codes_C] == 2))


def mix_bits(values: Hashes) -> Hashes:
    """Spread the differences of values over all bits (the finalizer of SplitMix64; values from Java's SplittableRandom)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(BASE, exponent, 2**64))


def _blocks(kinds_C: NDArray[np.uint8]) -> list[tuple[int, int]]:
    """Ranges of about BLOCK_CHARS characters that cut no word shorter than that."""
    borders = [0]
    while borders[-1] < len(kinds_C):
        start, stop = borders[-1], min(borders[-1] + BLOCK_CHARS, len(kinds_C))
        if stop < len(kinds_C) and kinds_C[stop] == 1:
            ends = np.flatnonzero(kinds_C[start:stop] != 1)
            stop = start + int(ends[-1]) + 1 if len(ends) else stop
        borders.append(stop)
    return list(pairwise(borders))


def _hash_block(codes_C: NDArray[np.uint32], kinds_C: NDArray[np.uint8]) -> Hashes:
    begins_C = kinds_C == 1
    begins_C[1:] &= kinds_C[:-1] != 1
    begins_C |= kinds_C == 2
    in_words_C = kinds_C > 0
    begins = np.flatnonzero(begins_C[in_words_C])
    if not len(begins):
        return np.empty(0, dtype=np.uint64)
    values = codes_C[in_words_C].astype(np.uint64)
    places = np.arange(len(values))
    places -= np.repeat(begins, np.diff(begins, append=len(values)))
    places &= N_POWERS - 1
    return mix_bits(np.add.reduceat((values + 1) * _powers()[places], begins))


@cache
def _powers() -> Hashes:
    return np.cumprod(np.full(N_POWERS, BASE, dtype=np.uint64), dtype=np.uint64)


@cache
def _character_kinds() -> NDArray[np.uint8]:
    """By code point: 0 stands between words, 1 is part of a word, 2 is a word."""
    characters = "".join(map(chr, range(0x110000)))
    kinds = np.zeros(len(characters), dtype=np.uint8)
    for kind, pattern in ((1, r"[^\W_]+"), (2, f"{SINGLE}+")):
        for match in re.finditer(pattern, characters):
            kinds[match.start() : match.end()] = kind
    return kinds
