"""The unmasked views: words that are split, stretched, masked or spelled with digits and signs, as they may be meant.

These views hold the surroundings of suspicious words, each followed by a line end. One view is one reading of all of them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from lmcraft.moderation.normalization.kinds import DIGIT, HAN, LETTER, LINE_END, SIGN, Kinds, codes_of, kind_table, kinds_of
from lmcraft.moderation.normalization.native.library import Opener
from lmcraft.moderation.normalization.plain import Codes, Positions, to_codes, to_text
from lmcraft.moderation.normalization.splits import Indices, Mask, Splits, find_splits
from lmcraft.moderation.normalized_text import View

UNMASKED, MERGED = "unmasked", "merged"
"""Names of views. In the merged one "l" is written "i", as in `merge_letters(term)`, since "1" and others can be either."""
MIN_STRETCH = 3
STRETCH = re.compile(r"(.)\1{2,}")
CONTEXT_WORDS = 8
"""Words on either side of a suspicious one that are in these views, too: it can be part of a phrase."""
NAMES = UNMASKED, UNMASKED, MERGED, UNMASKED
"""Of the readings: joined; with words of one letter apart; with signs that can be two letters; with signs dropped."""
SIGNS, LETTERS = "0123456789@$!|+€£¢¥", "oizeasbtbgasiitelcy"


@dataclass(frozen=True, slots=True)
class Passages:
    """Suspicious words with their surroundings, and a line end behind each passage."""

    indices: Indices
    """(T,): their characters in the plain view."""
    codes: Codes
    """(T,)"""
    kinds: Kinds
    """(T,)"""
    is_suspicious: Mask
    """(T,): whether a character belongs to a suspicious word."""
    is_dropped: Mask
    """(T,): whether it splits one."""
    is_kept: Mask
    """(T,): whether it may not have been dropped."""
    num_chars: int
    """Of the plain view."""


def unmask(plain: View) -> Iterator[View]:
    """The unmasked views of a text with this plain view; none if nothing in it is suspicious."""
    library = _opener().count(len(plain.text))
    for number, codes, indices in read(plain.text) if library is None else library.read(plain.text):
        yield View(NAMES[number], to_text(codes), indices if plain.offsets is None else plain.offsets[indices])


@cache
def _opener() -> Opener:
    return Opener(kind_table(), _letters())


def merge_letters(term: str) -> str:
    """A term as it stands in the merged view."""
    return STRETCH.sub(r"\1\1", term.replace("l", "i"))


def find_passages(text: str) -> Passages | None:
    """The suspicious words of a plain text; None if there are none."""
    codes, kinds = codes_of(text), kinds_of(text)
    in_word = (kinds >= LETTER) & (kinds <= SIGN)
    splits = find_splits(codes, kinds, np.flatnonzero(in_word))
    anchors = np.concatenate((splits.anchors, _find_signs(kinds), _find_stretches(codes, in_word)))
    if not len(anchors):
        return None
    has_letter = (kinds == LETTER) | (kinds == HAN)
    in_word |= splits.is_joined
    edges = np.flatnonzero(np.diff(in_word, prepend=False, append=False))
    starts, stops = edges[::2], edges[1::2]
    suspicious = np.unique(np.searchsorted(starts, anchors, "right") - 1)
    suspicious = suspicious[(suspicious >= 0) & np.logical_or.reduceat(has_letter, starts)[suspicious]]
    return _gather(codes, kinds, splits, starts, stops, suspicious) if len(suspicious) else None


def _find_signs(kinds: Kinds) -> Indices:
    """Digits and signs beside letters, and signs between Han characters."""
    signs = np.flatnonzero((kinds == DIGIT) | (kinds == SIGN))
    before = kinds[np.maximum(signs - 1, 0)]
    behind = kinds[np.minimum(signs + 1, len(kinds) - 1)]
    is_split = (before == HAN) & (behind == HAN) & (kinds[signs] == SIGN)
    beside: Indices = signs[(before == LETTER) | (behind == LETTER) | is_split]
    return beside


def _find_stretches(codes: Kinds | Codes, in_word: Mask) -> Indices:
    """Where three equal letters begin."""
    repeats = codes[1:] == codes[:-1]
    return np.flatnonzero(repeats[1:] & repeats[:-1] & in_word[:-2])


def _gather(
    codes: Kinds | Codes, kinds: Kinds, splits: Splits, starts: Indices, stops: Indices, chosen: Indices
) -> Passages:
    """The chosen words, with their surroundings."""
    first_words, last_words = np.maximum(chosen - CONTEXT_WORDS, 0), np.minimum(chosen + CONTEXT_WORDS, len(starts) - 1)
    begins = np.append(True, first_words[1:] > last_words[:-1] + 1)
    firsts = starts[first_words[begins]]
    lasts = stops[last_words[np.append(begins[1:], True)]]
    lengths = lasts - firsts + 1
    ends = np.cumsum(lengths)
    indices = np.repeat(firsts - (ends - lengths), lengths) + np.arange(ends[-1])
    indices[ends - 1] -= 1
    passage_codes, passage_kinds = codes[indices].astype(np.uint32), kinds[indices]
    passage_codes[ends - 1], passage_kinds[ends - 1] = ord("\n"), LINE_END
    words = np.searchsorted(starts[chosen], indices, "right") - 1
    is_suspicious = (words >= 0) & (indices < stops[chosen][words])
    is_dropped, is_kept = splits.is_dropped[indices], splits.is_kept[indices]
    is_suspicious[ends - 1] = is_dropped[ends - 1] = False
    return Passages(indices, passage_codes, passage_kinds, is_suspicious, is_dropped, is_kept, len(codes))


def read(text: str) -> Iterator[tuple[int, Codes, Positions]]:
    """The readings of suspicious words, in arrays: see `NativeUnmasking.read`."""
    passages = find_passages(text)
    if passages is None:
        return
    kinds, is_suspicious, is_dropped = passages.kinds, passages.is_suspicious, passages.is_dropped
    letters = _letters()[np.minimum(passages.codes, len(_letters()) - 1)]
    letters = np.where(passages.codes < len(_letters()), letters, passages.codes)
    is_sign = ((kinds == DIGIT) | (kinds == SIGN)) & is_suspicious
    codes = np.where(is_sign, letters, passages.codes)
    yield 0, *_squeeze(codes, passages, ~is_dropped, is_suspicious, 1)
    if passages.is_kept.any():
        yield 1, *_squeeze(codes, passages, ~is_dropped | passages.is_kept, is_suspicious, 1)
    lengths = _runs(codes[~is_dropped])[1]
    if is_sign.any() or (lengths[is_suspicious[~is_dropped]] >= MIN_STRETCH).any():
        merged = np.where(letters == ord("l"), np.uint32(ord("i")), letters)
        yield 2, *_squeeze(merged, passages, ~is_dropped, np.ones_like(is_dropped), 2)
        yield 3, *_squeeze(passages.codes, passages, ~(is_dropped | is_sign), is_suspicious, 2)


def _squeeze(codes: Codes, passages: Passages, keep: Mask, where: Mask, max_repeats: int) -> tuple[Codes, Positions]:
    """Keep some characters, and somewhere of stretches only `max_repeats`."""
    codes, indices = codes[keep], passages.indices[keep]
    ranks, lengths = _runs(codes)
    kept = (lengths < MIN_STRETCH) | (ranks < max_repeats) | ~where[keep]
    return codes[kept], np.append(indices[kept], passages.num_chars).astype(np.int32)


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
