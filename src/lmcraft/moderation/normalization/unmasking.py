"""The unmasked views: words that are split, stretched, masked or spelled with digits and signs, as they may be meant.

Only words with something suspicious in them are in these views, each followed by a line end, or by a space if the next word
is there, too. One view is one reading of all of them: "1" is "i" in one and "l" in another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.kinds import DIGIT, HAN, LETTER, LINE_END, SIGN, SPACE, SPLITTER, kinds_of
from lmcraft.moderation.normalization.plain import Codes, to_codes, to_text
from lmcraft.moderation.normalized_text import View

WILDCARD = "*"
"""A masked letter in an unmasked view."""
MAX_GAP_CHARS = 3
MIN_STRETCH = 3
MAX_MASKED_CHARS = 20
LETTERS_OF_SIGNS: tuple[Mapping[str, str], ...] = (
    dict(zip("0123456789@$!|+€£¢¥", "oizeasbtbgasiitelcy", strict=True)),
    dict(zip("0123456789@$!|+€£¢¥", "olreasgtbqaslltclcy", strict=True)),
)
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Words:
    """The suspicious words of a text, each with the character behind it."""

    indices: Indices
    """(T,): their characters in the plain view."""
    codes: Codes
    """(T,)"""
    kinds: NDArray[np.uint8]
    """(T,)"""
    word_ids: Indices
    """(T,)"""
    is_end: Mask
    """(T,): the character behind a word, which is already a space or line end."""

    def select(self, words: Indices) -> "Words":
        """Some of the words."""
        chosen = np.zeros(int(self.word_ids[-1]) + 1, dtype=bool)
        chosen[words] = True
        keep = chosen[self.word_ids]
        return Words(self.indices[keep], self.codes[keep], self.kinds[keep], self.word_ids[keep], self.is_end[keep])


def unmask(plain: View, num_chars: int) -> Iterator[View]:
    """The unmasked views of a text; none if nothing in it is suspicious.

    Args:
        plain: its plain view.
        num_chars: the length of the original.
    """
    words = find_words(plain.text)
    if words is None:
        return
    for codes, indices in _read(words):
        offsets = np.append(indices, len(plain.text)).astype(np.int32)
        if plain.offsets is not None:
            offsets = plain.offsets[offsets]
        offsets[-1] = num_chars
        yield View("unmasked", to_text(codes), offsets)


def find_words(text: str) -> Words | None:
    """The suspicious words of a plain text; None if there are none."""
    kinds = kinds_of(text)
    in_word = (kinds >= LETTER) & (kinds <= SIGN)
    positions = np.flatnonzero(in_word)
    if not len(positions):
        return None
    joined = _find_joined(kinds, positions)
    anchors = [joined, _find_signs(kinds), _find_stretches(text, in_word)]
    if not any(len(anchor) for anchor in anchors):
        return None
    in_word[joined] = True
    for step in range(1, MAX_GAP_CHARS):
        rest = joined + step
        rest = rest[rest < len(kinds)]
        rest = rest[_is_gap(kinds[rest]) & in_word[rest - 1] & _is_gap(kinds[rest - 1])]
        in_word[rest] = True
    edges = np.flatnonzero(np.diff(in_word, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    suspicious = np.unique(np.searchsorted(starts, np.concatenate(anchors), "right") - 1)
    return _gather(text, kinds, starts, stops, suspicious)


def _is_gap(kinds: NDArray[np.uint8]) -> Mask:
    is_gap: Mask = kinds >= SPLITTER
    return is_gap


def _find_joined(kinds: NDArray[np.uint8], positions: Indices) -> Indices:
    """Where short gaps begin that split a word: signs in it, or spaces between single letters or Han characters."""
    gaps = np.diff(positions) - 1
    places = np.flatnonzero((gaps >= 1) & (gaps <= MAX_GAP_CHARS))
    if not len(places):
        return places
    before, lengths = positions[places], gaps[places]
    only_splitters, only_gaps, has_line_end = (
        np.ones(len(places), bool),
        np.ones(len(places), bool),
        np.zeros(len(places), bool),
    )
    for step in range(1, MAX_GAP_CHARS + 1):
        kind = kinds[before + np.minimum(step, lengths)]
        only_splitters &= kind == SPLITTER
        only_gaps &= _is_gap(kind)
        has_line_end |= kind == LINE_END
    edge = np.array([True])
    is_single = np.concatenate((edge, gaps > 0)) & np.concatenate((gaps > 0, edge))
    are_single = is_single[places] & is_single[places + 1]
    are_han = (kinds[before] == HAN) & (kinds[positions[places + 1]] == HAN) & ~has_line_end
    starts: Indices = before[only_splitters | (only_gaps & (are_single | are_han))] + 1
    return starts


def _find_signs(kinds: NDArray[np.uint8]) -> Indices:
    """Digits and signs beside letters."""
    signs = np.flatnonzero((kinds == DIGIT) | (kinds == SIGN))
    before = kinds[np.maximum(signs - 1, 0)]
    behind = kinds[np.minimum(signs + 1, len(kinds) - 1)]
    beside: Indices = signs[(before == LETTER) | (behind == LETTER)]
    return beside


def _find_stretches(text: str, in_word: Mask) -> Indices:
    """Where three equal letters begin."""
    codes = _codes(text)
    repeats = codes[1:] == codes[:-1]
    return np.flatnonzero(repeats[1:] & repeats[:-1] & in_word[:-2])


def _codes(text: str) -> NDArray[np.uint8] | Codes:
    return np.frombuffer(text.encode(), dtype=np.uint8) if text.isascii() else to_codes(text)


def _gather(text: str, kinds: NDArray[np.uint8], starts: Indices, stops: Indices, chosen: Indices) -> Words | None:
    """The chosen words that have letters, each with one character more."""
    has_letters = np.logical_or.reduceat((kinds == LETTER) | (kinds == HAN), starts)[chosen]
    chosen = chosen[has_letters]
    if not len(chosen):
        return None
    lengths = stops[chosen] - starts[chosen] + 1
    ends = np.cumsum(lengths)
    indices = np.repeat(starts[chosen] - (ends - lengths), lengths) + np.arange(ends[-1])
    inside = np.minimum(indices, len(text) - 1)
    codes, word_kinds = _codes(text)[inside].astype(np.uint32), kinds[inside]
    is_end = np.zeros(len(indices), dtype=bool)
    is_end[ends - 1] = True
    follows = np.append(np.diff(chosen) == 1, False) & (np.append(starts[chosen][1:], 0) == stops[chosen] + 1)
    is_spaced = follows & (word_kinds[ends - 1] == SPACE)
    codes[ends - 1] = np.where(is_spaced, ord(" "), ord("\n"))
    word_kinds[ends - 1] = LINE_END
    return Words(inside, codes, word_kinds, np.repeat(np.arange(len(chosen)), lengths), is_end)


def _read(words: Words) -> Iterator[tuple[Codes, Indices]]:
    """The readings of words: characters and their indices in the plain view."""
    is_split = _is_gap(words.kinds) & ~words.is_end
    is_sign = ((words.kinds == DIGIT) | (words.kinds == SIGN)) & ~words.is_end
    tables = [_sign_table(index) for index in range(len(LETTERS_OF_SIGNS))]
    first, second = (np.where(is_sign, table[np.minimum(words.codes, len(table) - 1)], words.codes) for table in tables)
    yield _squeeze(first, words.indices, ~is_split, 1)
    is_stretched = _runs(first, ~is_split)[1] >= MIN_STRETCH
    other = np.unique(np.concatenate((words.word_ids[first != second], words.word_ids[~is_split][is_stretched])))
    if len(other):
        keep = np.isin(words.word_ids, other)
        yield _squeeze(second[keep], words.indices[keep], ~is_split[keep], 2)
    is_masked = (words.kinds == SPLITTER) & is_split | (words.kinds == SIGN) & is_sign
    if is_masked.any():
        yield from _read_masked(words, first, is_masked, is_split)
    yield from _read_tones(words, is_sign, is_split)


def _read_masked(words: Words, codes: Codes, is_masked: Mask, is_split: Mask) -> Iterator[tuple[Codes, Indices]]:
    lengths = np.bincount(words.word_ids) - 1
    counts = np.bincount(words.word_ids[is_masked], minlength=len(lengths))
    keep = ((counts > 0) & (counts * 2 <= lengths) & (lengths <= MAX_MASKED_CHARS))[words.word_ids]
    if keep.any():
        masked = np.where(is_masked, ord(WILDCARD), codes)
        yield _squeeze(masked[keep], words.indices[keep], (is_masked | ~is_split)[keep], 2)


def _read_tones(words: Words, is_sign: Mask, is_split: Mask) -> Iterator[tuple[Codes, Indices]]:
    """Without the digits behind letters: tones of pinyin."""
    letters, digits = words.kinds == LETTER, (words.codes >= ord("1")) & (words.codes <= ord("5")) & is_sign
    is_tone = np.zeros(len(letters), dtype=bool)
    is_tone[1:] = digits[1:] & letters[:-1]
    is_tone[:-1] &= words.kinds[1:] != DIGIT
    others = words.word_ids[is_sign & ~is_tone]
    keep = np.isin(words.word_ids, np.setdiff1d(words.word_ids[is_tone], others))
    if keep.any():
        yield _squeeze(words.codes[keep], words.indices[keep], ~(is_split | is_tone)[keep], 2)


def _squeeze(codes: Codes, indices: Indices, keep: Mask, max_repeats: int) -> tuple[Codes, Indices]:
    """Keep some characters, and of stretches only `max_repeats`."""
    codes, indices = codes[keep], indices[keep]
    ranks, lengths = _runs(codes, np.ones(len(codes), dtype=bool))
    kept = (lengths < MIN_STRETCH) | (ranks < max_repeats) | (codes == ord(WILDCARD))
    return codes[kept], indices[kept]


def _runs(codes: Codes, keep: Mask) -> tuple[Indices, Indices]:
    """Of each character that is kept, its place in its run of equal ones, and the run's length."""
    codes = codes[keep]
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])[: len(codes)])
    lengths = np.diff(np.append(starts, len(codes)))
    return np.arange(len(codes)) - np.repeat(starts, lengths), np.repeat(lengths, lengths)


@cache
def _sign_table(index: int) -> Codes:
    letters = LETTERS_OF_SIGNS[index]
    table = np.arange(max(map(ord, letters)) + 2, dtype=np.uint32)
    for sign, letter in letters.items():
        table[ord(sign)] = ord(letter)
    return table
