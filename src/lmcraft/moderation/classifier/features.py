"""What the linear classifier sees of a text: hashed n-grams of characters and of words, in segments of a few sentences.

Hashed n-grams (Weinberger et al. 2009, arXiv 0902.2206) need no vocabulary and no tokenizer. An ideograph counts as a word.
All of it is arithmetic of NumPy on whole blocks of text.

Shapes: C characters of a block after `fold`, S segments, F features of one kind.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint32]
Positions = NDArray[np.int64]

NGRAM_CHARS = (3, 4, 5)
MIN_SEGMENT_CHARS, MAX_SEGMENT_CHARS = 80, 240
"""A text is cut after sentences, into segments of at least and at most as many characters. Each is judged alone."""
BLOCK_CHARS = 1 << 15
"""Characters that are computed together, so that the arrays stay in the processor's cache."""
SPACE = 32
BASIC_PLANE = 1 << 16
IDEOGRAPHS = (0x3400, 0x9FFF)
ENDERS = tuple(map(ord, "\n!?。;…"))
"""Signs that end a sentence; a period does before a space."""
CHAR_FACTOR, WORD_FACTOR, SPREAD = np.uint32(0x01000193), np.uint64(0x9E3779B97F4A7C15), np.uint32(0x9E3779B1)
WORD_INVERSE = np.uint64(pow(int(WORD_FACTOR), -1, 1 << 64))


@dataclass(frozen=True)
class Block:
    """The features of a piece of a text."""

    kinds: tuple[tuple[Codes, Positions], ...]
    """For each kind of n-gram: hashes of 32 bits in the order of the text, (F,), of which a table of 2^b weights takes the
    highest b; and the first feature of each segment, then F, (S + 1,)."""
    spans: Positions
    """(S, 2): the characters of each segment in the text."""
    ideographic: Positions
    """(S,): 1 if at least a third of a segment's words are ideographs, else 0: such texts are calibrated apart."""

    def counts(self) -> Positions:
        """(S,): the number of features of each segment; at least 1."""
        counts: Positions = np.sum([np.diff(bounds) for _, bounds in self.kinds], axis=0)
        return counts

    def segment(self, number: int) -> Codes:
        """The hashes of all features of a segment."""
        return np.concatenate([hashes[bounds[number] : bounds[number + 1]] for hashes, bounds in self.kinds])


def extract(text: str) -> Iterator[Block]:
    """The features of a text, block by block; segments without letters or digits are left out.

    Args:
        text: the plain view of a text.
    """
    raw = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if not len(raw):
        return
    bounds = segment_bounds(raw)
    blocks = np.unique(np.searchsorted(bounds, np.arange(0, len(raw), BLOCK_CHARS)))
    for first, last in zip(blocks, np.append(blocks[1:], len(bounds) - 1), strict=True):
        if first < last:
            yield from _extract_block(raw[bounds[first] : bounds[last]], bounds[first : last + 1])


def segment_bounds(raw: Codes) -> Positions:
    """Where segments begin, then the length of the text."""
    ends = np.isin(raw, ENDERS)
    ends[:-1] |= (raw[:-1] == ord(".")) & (raw[1:] <= SPACE)
    bounds = [0]
    for end in (*(np.flatnonzero(ends) + 1).tolist(), len(raw)):
        while end - bounds[-1] > MAX_SEGMENT_CHARS:
            bounds.append(bounds[-1] + MAX_SEGMENT_CHARS)
        if end - bounds[-1] >= MIN_SEGMENT_CHARS:
            bounds.append(end)
    if bounds[-1] < len(raw):
        bounds.append(len(raw))
    return np.array(bounds)


def fold(raw: Codes) -> tuple[Codes, Positions]:
    """Characters with each run of signs and spaces as one space, and one more at both ends; and where each comes from."""
    codes = np.empty(len(raw) + 2, dtype=np.uint32)
    codes[0] = codes[-1] = SPACE
    codes[1:-1] = np.where(raw < BASIC_PLANE, _letters()[np.minimum(raw, BASIC_PLANE - 1)], raw)
    is_space = codes == SPACE
    is_space[0] = False
    keep = np.flatnonzero(~is_space | ~np.append(True, codes[:-1] == SPACE))
    return codes[keep], np.clip(keep - 1, 0, None)


@cache
def _letters() -> Codes:
    """Of each character of the basic plane: itself if it is a letter, a digit or a symbol of its own, else a space."""
    return np.array([code if chr(code).isalnum() else SPACE for code in range(BASIC_PLANE)], dtype=np.uint32)


def _extract_block(raw: Codes, bounds: Positions) -> Iterator[Block]:
    codes_C, positions_C = fold(raw)
    firsts = np.searchsorted(positions_C, bounds[:-1] - bounds[0])
    firsts[0] = 0
    kinds = [(hashes, np.minimum(np.append(firsts, len(hashes)), len(hashes))) for hashes in _char_ngrams(codes_C)]
    starts, words = _words(codes_C)
    word_bounds = np.append(np.searchsorted(starts, firsts), len(words))
    kinds.append((_mix(words), word_bounds))
    pairs = words[:-1] * WORD_FACTOR + words[1:]
    kinds.append((_mix(pairs), np.minimum(word_bounds, len(pairs))))
    kept = np.flatnonzero(np.diff(word_bounds))
    if len(kept):
        last = np.append(kept[1:], len(bounds) - 1)
        spans = np.stack([bounds[kept], bounds[last]], axis=1)
        kinds = [(hashes, np.append(at[kept], at[-1])) for hashes, at in kinds]
        yield Block(tuple(kinds), spans, _are_ideographic(codes_C[starts], kinds[-2][1]))


def _are_ideographic(first_letters: Codes, word_bounds: Positions) -> Positions:
    ideographs = np.append(0, np.cumsum((first_letters >= IDEOGRAPHS[0]) & (first_letters <= IDEOGRAPHS[1])))
    return (3 * np.diff(ideographs[word_bounds]) >= np.diff(word_bounds)).astype(np.int64)


def _char_ngrams(codes: Codes) -> Iterator[Codes]:
    numbers = codes
    for length in range(2, NGRAM_CHARS[-1] + 1):
        numbers = numbers[: len(codes) - length + 1] * CHAR_FACTOR + codes[length - 1 :]
        if length in NGRAM_CHARS:
            yield (numbers ^ (numbers >> np.uint32(15))) * SPREAD


def _words(codes: Codes) -> tuple[Positions, NDArray[np.uint64]]:
    """Where words begin, and a hash of each: sums of powers over its characters, taken back to the first power."""
    is_space = codes == SPACE
    is_ideograph = (codes >= IDEOGRAPHS[0]) & (codes <= IDEOGRAPHS[1])
    edges = np.append(True, is_space[1:] | is_space[:-1] | is_ideograph[1:] | is_ideograph[:-1])
    starts = np.flatnonzero(edges & ~is_space)
    powers = np.full(len(codes), WORD_FACTOR)
    powers[0] = 1
    sums = np.append(np.uint64(0), np.cumsum(codes * np.multiply.accumulate(powers), dtype=np.uint64))
    inverses = np.full(len(codes), WORD_INVERSE)
    inverses[0] = 1
    edge_positions = np.append(np.flatnonzero(edges), len(codes))
    ends = edge_positions[np.searchsorted(edge_positions, starts) + 1]
    return starts, (sums[ends] - sums[starts]) * np.multiply.accumulate(inverses)[starts]


def _mix(numbers: NDArray[np.uint64]) -> Codes:
    """64 bits to 32."""
    mixed = (numbers ^ (numbers >> np.uint64(29))) * WORD_FACTOR
    return (mixed >> np.uint64(32)).astype(np.uint32)
