"""Which of the matches in a text stand: allowed words protect, longer matches cover shorter ones, repetitions become one.

Shapes: M matches.
"""

import numpy as np
from numpy.typing import NDArray

from lmcraft.moderation.lexicon.matcher import Matches
from lmcraft.moderation.lexicon.term import MAX_SEVERITY
from lmcraft.moderation.normalized_text import View

MAX_REPEAT_GAP_CHARS = 1


def drop_allowed(matches: Matches, allowed: Matches) -> Matches:
    """The matches that neither stand inside of an allowed word nor cut one in two.

    Args:
        matches: (start, end, key) of each.
        allowed: of the allowed words, ordered by start.
    """
    if not len(matches) or not len(allowed):
        return matches
    starts_M, ends_M = matches[:, 0], matches[:, 1]
    reach = np.append(-1, np.maximum.accumulate(allowed[:, 1]))  # the furthest end of the first allowed words
    cuts_start_M = reach[np.searchsorted(allowed[:, 0], starts_M, "left")] > starts_M
    cuts_end_M = reach[np.searchsorted(allowed[:, 0], ends_M, "left")] > ends_M
    kept: Matches = matches[~(cuts_start_M | cuts_end_M)]
    return kept


def drop_covered(matches: Matches, ranks_M: NDArray[np.int64]) -> Matches:
    """The matches that do not lie inside of a longer one whose rank is as high; ordered by start.

    Args:
        matches: (start, end, key) of each.
        ranks_M: severities.
    """
    starts_M, ends_M = matches[:, 0], matches[:, 1]
    order = np.lexsort((-ranks_M, -ends_M, starts_M))
    ends_M, ranks_M = ends_M[order], ranks_M[order]
    covered_M = np.zeros(len(order), dtype=np.bool_)
    for rank in range(MAX_SEVERITY + 1):
        reach_M = np.maximum.accumulate(np.where(ranks_M >= rank, ends_M, -1))
        covered_M[1:] |= (ranks_M[1:] == rank) & (reach_M[:-1] >= ends_M[1:])
    kept: Matches = matches[order[~covered_M]]
    return kept


def join_repeats(matches: Matches) -> Matches:
    """Matches of one key with hardly a character between them as one.

    Args:
        matches: (start, end, key), ordered by start.
    """
    if len(matches) < 2:
        return matches
    starts_M, ends_M, keys_M = matches.T
    begins_M = np.append(True, (keys_M[1:] != keys_M[:-1]) | (starts_M[1:] - ends_M[:-1] > MAX_REPEAT_GAP_CHARS))
    firsts = np.flatnonzero(begins_M)
    return np.stack([starts_M[firsts], np.maximum.reduceat(ends_M, firsts), keys_M[firsts]], axis=1)


def in_original(view: View, matches: Matches) -> Matches:
    """Matches in a view as passages of the original text."""
    if view.offsets is None or not len(matches):
        return matches
    starts_M, ends_M, keys_M = matches.T
    stops_M = view.offsets[ends_M - 1] + 1 if view.ends is None else view.ends[ends_M - 1]
    return np.stack([view.offsets[starts_M].astype(np.int64), stops_M.astype(np.int64), keys_M], axis=1)
