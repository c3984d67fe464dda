"""Where a word is split: by signs in it, or by spaces between single letters or Han characters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.normalization.kinds import HAN, LETTER, LINE_END, MARK, OTHER, SPACE, SPLITTER, STOP, Kinds
from lmcraft.moderation.normalization.plain import Codes

MAX_GAP_CHARS = 3
WORDS_OF_ONE_LETTER = "aiou"
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Splits:
    """The splits of a text."""

    is_joined: Mask
    """(len(text),): what stands inside of a word."""
    is_dropped: Mask
    """(len(text),): what splits a word, or hangs on it."""
    is_kept: Mask
    """(len(text),): of what is dropped, spaces behind or before a single letter that can be a word of its own."""
    anchors: Indices
    """Characters of split words."""


@dataclass(frozen=True, slots=True)
class _Gaps:
    """Short gaps between characters that spell words; G of them."""

    starts: Indices
    """(G,)"""
    lengths: Indices
    """(G,)"""
    kinds: Kinds
    """(G, MAX_GAP_CHARS), the last kind repeated where a gap is shorter."""

    def only(self, *kinds: int) -> Mask:
        """(G,): whether all characters of a gap are of some kinds."""
        table = np.zeros(MARK + 1, dtype=np.bool_)
        table[list(kinds)] = True
        are_only: Mask = np.logical_and.reduce(table[self.kinds], axis=1)
        return are_only

    def any(self, *kinds: int) -> Mask:
        """(G,): whether a character of a gap is of some kinds."""
        return ~self.only(*(kind for kind in range(MARK + 1) if kind not in kinds))

    def mask(self, chosen_G: Mask, size: int) -> Mask:
        """(size,): the characters of the chosen gaps."""
        lengths, starts = self.lengths[chosen_G], self.starts[chosen_G]
        mask = np.zeros(size, dtype=np.bool_)
        mask[np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(lengths.sum())] = True
        return mask


def find_splits(codes: Kinds | Codes, kinds: Kinds, positions: Indices) -> Splits:
    """The splits of a plain text.

    Args:
        codes: its code points.
        kinds: the kinds of its characters.
        positions: those that can spell words.
    """
    distances = np.diff(positions) - 1
    is_single = np.ones(len(positions), dtype=np.bool_)
    is_single[1:] = distances > 0
    is_single[:-1] &= distances > 0
    are_single = is_single[:-1] & is_single[1:]
    is_han = kinds[positions] == HAN
    are_han = is_han[:-1] & is_han[1:]
    is_gap = (distances >= 1) & (distances <= MAX_GAP_CHARS)
    is_gap &= (distances > 1) | are_single | are_han | (kinds[positions[:-1] + 1] != SPACE)  # most spaces end there
    places_G = np.flatnonzero(is_gap)
    before_G, behind_G, lengths_G = positions[places_G], positions[places_G + 1], distances[places_G]
    steps = np.minimum(np.arange(MAX_GAP_CHARS), lengths_G[:, None] - 1)
    gaps = _Gaps(before_G + 1, lengths_G, kinds[before_G[:, None] + 1 + steps])
    has_signs_G, is_tight_G = gaps.only(SPLITTER, STOP), ~gaps.any(SPACE, LINE_END)
    are_single_G = are_single[places_G] & ~gaps.any(OTHER)
    are_single_G &= is_tight_G | ~_beside(are_single_G & is_tight_G, places_G)  # "a d.e.f" is "a def"
    is_joined_G = has_signs_G | are_single_G | (are_han[places_G] & gaps.only(SPLITTER, STOP, SPACE))
    is_joined = gaps.mask(is_joined_G, len(kinds))
    is_dropped, hanging = is_joined.copy(), _hanging(gaps, kinds)
    is_dropped[hanging] = True
    can_begin_G = is_joined_G & ~_beside(is_joined_G, places_G, before=True) & _are_words(codes[before_G])
    can_end_G = is_joined_G & ~_beside(is_joined_G, places_G, before=False) & _are_words(codes[behind_G])
    is_kept = gaps.mask(~is_tight_G & (can_begin_G | can_end_G), len(kinds))
    return Splits(is_joined, is_dropped, is_kept, np.concatenate((before_G[is_joined_G], hanging)))


def _are_words(codes: Kinds | Codes) -> Mask:
    are_words = np.zeros(len(codes), dtype=np.bool_)
    for letter in WORDS_OF_ONE_LETTER:
        are_words |= codes == ord(letter)
    return are_words


def _beside(chosen_G: Mask, places_G: Indices, before: bool | None = None) -> Mask:
    """(G,): whether the gap before or behind, with one character between, is among the chosen ones."""
    chosen = np.zeros(len(chosen_G) + 2, dtype=np.bool_)
    chosen[1:-1] = chosen_G
    adjacent = np.concatenate(([False], np.diff(places_G) == 1, [False]))
    is_before, is_behind = chosen[:-2] & adjacent[:-1], chosen[2:] & adjacent[1:]
    return is_before | is_behind if before is None else is_before if before else is_behind


def _hanging(gaps: _Gaps, kinds: Kinds) -> Indices:
    """Signs that hang on a word, with a space on their other side."""
    pairs = gaps.lengths == 2
    starts, first, second = gaps.starts[pairs], gaps.kinds[pairs, 0], gaps.kinds[pairs, 1]
    leading = starts[(first == SPACE) & ((second == SPLITTER) | (second == STOP))] + 1
    trailing = starts[(first == SPLITTER) & (second == SPACE)]
    return np.concatenate((leading[kinds[leading + 1] == LETTER], trailing[kinds[trailing - 1] == LETTER]))
