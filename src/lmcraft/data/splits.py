"""Divides documents between training and validation; the share of validation is a share of the tokens.

Shapes: N documents. A part of a document is (first token, last token + 1).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError

Split = Literal["hash", "tail"]
TRAIN, VALIDATION = "train", "validation"
SHARE_TOLERANCE = 0.2  # of the share: whole documents that come this close are not cut
MAX_WHOLE_SHARE = 0.2  # of the tokens: whole documents that hold out up to this are not cut, if cuts are to be avoided
MIN_CUT_TOKENS = 32  # shorter texts are not cut
MIN_SPLIT_TOKENS = 2  # one to read and one to predict
Int64 = NDArray[np.int64]


@dataclass(frozen=True)
class DocumentTable:
    """What the split depends on: hash of the text, position of the first token, and number of tokens, each (N,)."""

    hashes: NDArray[np.uint64]
    tokens: Int64

    @property
    def starts(self) -> Int64:
        """Position of the first token of each document, (N,)."""
        return np.cumsum(self.tokens) - self.tokens


def assign(table: DocumentTable, share: float, split: Split, *, prefer_whole: bool = False) -> Int64:
    """The number of tokens of each document that are for training, (N,); the others, at its end, are for validation.

    With "tail", validation is the end of the text. With "hash", documents are chosen by the hash of their text, so that
    equal ones are on the same side and new ones hardly move the old: those whose hash is under the share. If that misses
    the share of tokens by more than a fifth, because documents are few or of very different length, they are taken in the
    order of their hashes up to the share of tokens, and at most one text is cut. With `prefer_whole`, none is cut if whole
    documents of at least half the share hold at most a fifth of the tokens.

    Raises:
        UserError: there are too few tokens, or, with "hash", too few different documents.
    """
    total = int(table.tokens.sum())
    if not share:
        return table.tokens
    if split == "tail":
        return _keep_first(table, int((1 - share) * total))
    if total < 2 * MIN_SPLIT_TOKENS:
        raise UserError(f"the text has {total} tokens, which are too few to hold out some for validation: add text")
    selected = table.hashes < np.uint64(min(int(share * 2**64), 2**64 - 1))
    if _is_close(int(table.tokens[selected].sum()), share * total, total):
        return np.where(selected, 0, table.tokens)
    training = _take_in_order(table, share * total, prefer_whole=prefer_whole)
    if MIN_SPLIT_TOKENS <= training.sum() <= total - MIN_SPLIT_TOKENS:
        return training
    _check_different(table.hashes)
    return _keep_first(table, min(max(int((1 - share) * total), MIN_SPLIT_TOKENS), total - MIN_SPLIT_TOKENS))


def _check_different(hashes: NDArray[np.uint64]) -> None:
    """Raise UserError if a cut between documents could divide equal ones."""
    different = len(np.unique(hashes))
    if different < len(hashes):
        equal = (
            f"all {len(hashes)} documents are equal" if different == 1 else f"{len(hashes)} documents are {different} texts"
        )
        raise UserError(
            f"{equal}, so that none can be held out for validation: add others, or use --split tail or --validation 0"
        )


def _keep_first(table: DocumentTable, count: int) -> Int64:
    """Keep the first `count` tokens of the text for training."""
    return np.clip(count - table.starts, 0, table.tokens)


def _is_close(tokens: int, target: float, total: int, *, prefer_whole: bool = False) -> bool:
    if not MIN_SPLIT_TOKENS <= tokens <= total - MIN_SPLIT_TOKENS:
        return False
    if prefer_whole and target / 2 <= tokens <= MAX_WHOLE_SHARE * total:
        return True
    return abs(tokens - target) <= SHARE_TOLERANCE * min(target, total - target)


def _take_in_order(table: DocumentTable, target: float, *, prefer_whole: bool) -> Int64:
    """Take texts in the order of their hashes, up to about `target` tokens; equal texts are taken, and cut, together."""
    total = int(table.tokens.sum())
    _, first, group, copies = np.unique(table.hashes, return_index=True, return_inverse=True, return_counts=True)
    lengths = table.tokens[first]
    taken = np.cumsum(lengths * copies)
    crossing = min(int(np.searchsorted(taken, target)), len(taken) - 1)
    before = int(taken[crossing] - lengths[crossing] * copies[crossing])
    length = int(lengths[crossing])
    whole = [(before, crossing), (int(taken[crossing]), crossing + 1)]
    usable = [(abs(tokens - target), end) for tokens, end in whole if MIN_SPLIT_TOKENS <= tokens <= total - MIN_SPLIT_TOKENS]
    close = [
        (abs(tokens - target), end) for tokens, end in whole if _is_close(tokens, target, total, prefer_whole=prefer_whole)
    ]
    if close or length < MIN_CUT_TOKENS:
        _, end = min(close or usable, default=(0.0, 0))
        return np.where(group < end, 0, table.tokens)
    held_out = round((target - before) / int(copies[crossing]))
    kept = length - min(max(held_out, MIN_SPLIT_TOKENS), length - MIN_SPLIT_TOKENS)
    return np.where(group < crossing, 0, np.where(group == crossing, kept, table.tokens))


def parts_of(table: DocumentTable, training: Int64, name: str, end: int | None) -> tuple[Int64, Int64]:
    """The parts of documents in a split: position of their first token in the document and number of tokens, each (N,).

    The training part of a document that is cut is a token longer, for the end token: without, the next document would
    seem to continue it. The caller puts the end token in place of the last token of each part.

    Args:
        table: of the documents.
        training: as `assign` returns it, (N,).
        name: of the split.
        end: the end token; None: there is none.
    """
    if name == VALIDATION:
        return training, table.tokens - training
    is_cut = (training > 0) & (training < table.tokens)
    return np.zeros_like(training), training + (is_cut & (end is not None))
