"""The unmasked views: words that are split, stretched, masked or spelled with digits and signs, as they may be meant.

These views hold the surroundings of suspicious words, each followed by a line end. One view is one reading of all of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.kinds import DIGIT, HAN, LETTER, LINE_END, SIGN, SPLITTER, kinds_of
from lmcraft.moderation.normalization.plain import Codes, to_codes, to_text
from lmcraft.moderation.normalized_text import View

UNMASKED, MERGED = "unmasked", "merged"
"""Names of views. In the merged one "l" is written "i", as in `merge_letters(term)`, since "1" and others can be either."""
WILDCARD = "*"
"""A masked letter in an unmasked view."""
MAX_GAP_CHARS = 3
MIN_STRETCH = 3
CONTEXT_WORDS = 8
"""Words on either side of a suspicious one that are in these views, too: it can be part of a phrase."""
SIGNS, LETTERS = "0123456789@$!|+€£¢¥", "oizeasbtbgasiitelcy"
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Passages:
    """Suspicious words with their surroundings, and a line end behind each passage."""

    indices: Indices
    """(T,): their characters in the plain view."""
    codes: Codes
    """(T,)"""
    kinds: NDArray[np.uint8]
    """(T,)"""
    word_ids: Indices
    """(T,): the suspicious word that a character belongs to; -1 outside of them."""


def unmask(plain: View, num_chars: int) -> Iterator[View]:
    """The unmasked views of a text; none if nothing in it is suspicious.

    Args:
        plain: its plain view.
        num_chars: the length of the original.
    """
    passages = find_passages(plain.text)
    if passages is None:
        return
    for name, codes, indices in _read(passages):
        offsets = np.append(indices, len(plain.text)).astype(np.int32)
        if plain.offsets is not None:
            offsets = plain.offsets[offsets]
        offsets[-1] = num_chars
        yield View(name, to_text(codes), offsets)


def merge_letters(term: str) -> str:
    """A term as it stands in the merged view."""
    return term.replace("l", "i")


def find_passages(text: str) -> Passages | None:
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


def _gather(text: str, kinds: NDArray[np.uint8], starts: Indices, stops: Indices, chosen: Indices) -> Passages | None:
    """The chosen words that have letters, with their surroundings."""
    has_letters = np.logical_or.reduceat((kinds == LETTER) | (kinds == HAN), starts)[chosen]
    chosen = chosen[has_letters]
    if not len(chosen):
        return None
    first_words, last_words = np.maximum(chosen - CONTEXT_WORDS, 0), np.minimum(chosen + CONTEXT_WORDS, len(starts) - 1)
    begins = np.append(True, first_words[1:] > last_words[:-1] + 1)
    firsts = starts[first_words[begins]]
    lasts = stops[last_words[np.append(begins[1:], True)]]
    lengths = lasts - firsts + 1
    ends = np.cumsum(lengths)
    indices = np.repeat(firsts - (ends - lengths), lengths) + np.arange(ends[-1])
    indices[ends - 1] -= 1
    codes, passage_kinds = _codes(text)[indices].astype(np.uint32), kinds[indices]
    codes[ends - 1], passage_kinds[ends - 1] = ord("\n"), LINE_END
    word_ids = np.searchsorted(starts[chosen], indices, "right") - 1
    word_ids[(word_ids < 0) | (indices >= stops[chosen][word_ids])] = -1
    word_ids[ends - 1] = -1
    return Passages(indices, codes, passage_kinds, word_ids)


def _read(passages: Passages) -> Iterator[tuple[str, Codes, Indices]]:
    """The readings of suspicious words: the view's name, characters and their indices in the plain view."""
    kinds, inside = passages.kinds, passages.word_ids >= 0
    is_split = _is_gap(kinds) & inside
    is_sign = ((kinds == DIGIT) | (kinds == SIGN)) & inside
    codes = np.where(is_sign, _letters()[np.minimum(passages.codes, len(_letters()) - 1)], passages.codes)
    yield UNMASKED, *_squeeze(codes, passages, ~is_split, 1)
    lengths = _runs(codes[~is_split])[1]
    if is_sign.any() or (lengths[inside[~is_split]] >= MIN_STRETCH).any():
        yield MERGED, *_squeeze(np.where(codes == ord("l"), np.uint32(ord("i")), codes), passages, ~is_split, 2)
        yield UNMASKED, *_squeeze(passages.codes, passages, ~(is_split | is_sign), 2)
    is_mask = (kinds == SPLITTER) & is_split | (kinds == SIGN) & is_sign
    if is_mask.any():
        masked = np.where(is_mask, np.uint32(ord(WILDCARD)), codes)
        yield UNMASKED, *_squeeze(masked, passages, is_mask | ~is_split, 2)


def _squeeze(codes: Codes, passages: Passages, keep: Mask, max_repeats: int) -> tuple[Codes, Indices]:
    """Keep some characters, and of stretches in suspicious words only `max_repeats`."""
    codes, indices = codes[keep], passages.indices[keep]
    ranks, lengths = _runs(codes)
    is_fixed = (passages.word_ids[keep] < 0) | (codes == ord(WILDCARD))
    kept = (lengths < MIN_STRETCH) | (ranks < max_repeats) | is_fixed
    return codes[kept], indices[kept]


def _runs(codes: Codes) -> tuple[Indices, Indices]:
    """Of each character its place in its run of equal ones, and the run's length."""
    starts = np.flatnonzero(np.append(True, codes[1:] != codes[:-1])[: len(codes)])
    lengths = np.diff(np.append(starts, len(codes)))
    return np.arange(len(codes)) - np.repeat(starts, lengths), np.repeat(lengths, lengths)


@cache
def _letters() -> Codes:
    """The letters of signs."""
    table = np.arange(max(map(ord, SIGNS)) + 2, dtype=np.uint32)
    table[to_codes(SIGNS)] = to_codes(LETTERS)
    return table
