"""Marks: special tokens before the passages of a text that say whether a policy counts them as bad (arXiv 2302.08582).

The stage `mark` of a preparation puts them into the shards, and the manifest names them. A run reads its rows through a
`MarkReading`, which keeps the marks as inputs or removes them. Marks are never targets.

Shapes: T tokens of a row or a slice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Int64, RowReading, Sample

GOOD, BAD = "<|good|>", "<|bad|>"
MARKS = (GOOD, BAD)
MAX_PASSAGE_CHARS = 1000
LOOK_BACK_TOKENS = 4 * MAX_PASSAGE_CHARS  # UTF-8 has at most 4 bytes per character, and a token at least one


@dataclass(frozen=True)
class Marks:
    """The ids of a dataset's marks and of the token between its documents."""

    good: int
    bad: int
    end: int | None
    share: float = 0.0
    """Of all tokens of the dataset: how many are marks."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> "Marks | None":
        """The marks that a manifest names; None: it names none."""
        if (entry := manifest.get("marks")) is None:
            return None
        tokens = sum(split["tokens"] for split in manifest["splits"].values())
        share = (entry["good_passages"] + entry["bad_passages"]) / max(1, tokens)
        return cls(entry["good"], entry["bad"], manifest["eos_token_id"], share)

    def find(self, tokens: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each token is a mark, (T,)."""
        is_mark: NDArray[np.bool_] = (tokens == self.good) | (tokens == self.bad)
        return is_mark

    def find_bad(self, tokens: NDArray[Any], starts: Int64) -> NDArray[np.bool_]:
        """Whether each token belongs to a bad passage, (T,). End tokens do not, nor does text without a mark.

        Args:
            tokens: (T,), from a mark or the start of a document on.
            starts: positions where documents start.
        """
        states = np.full(len(tokens), -1)  # -1: as the token before
        states[:1] = states[starts] = 0
        states[tokens == self.good] = 0
        states[tokens == self.bad] = 1
        latest = np.maximum.accumulate(np.where(states >= 0, np.arange(len(tokens)), 0))
        bad: NDArray[np.bool_] = states[latest] == 1
        return bad if self.end is None else bad & (tokens != self.end)


@dataclass(frozen=True)
class MarkReading(RowReading):
    """How a run reads rows of marked text. Each token of text that it learns is a target once, after its mark if it has
    one."""

    marks: Marks
    keeps: bool = False
    """Marks stay as inputs."""
    dropout: float = 0.0
    """Share of the marks that repeat the one before them which are removed all the same. So a passage without a mark is like
    the one before."""
    learns_bad: bool = True
    """Tokens of bad passages are targets."""
    flags_bad: bool = False
    """The values of a row are 1 where the target belongs to a bad passage, else 0: (T,)."""

    look_back = LOOK_BACK_TOKENS

    def judge(self, tokens: NDArray[Any], starts: Int64) -> NDArray[np.bool_]:
        return self.marks.find_bad(tokens, starts)

    def read(self, row: Sample, judged: NDArray[np.bool_], key: Sequence[int]) -> Sample:
        """A row as this run reads it: without the marks that are removed, and padded to its length.

        Args:
            row: with all its marks.
            judged: whether each target belongs to a bad passage.
            key: of the random choice of the marks that `dropout` removes.
        """
        inputs, targets = row.input_ids, row.targets
        removed = self.marks.find(inputs) & ~self._choose_kept(row, key)
        before_mark = self.marks.find(targets)  # its target becomes the token after the mark, if the mark is removed
        passes = np.append(removed[1:], False) & (np.append(inputs[1:], IGNORE_INDEX) == targets)
        following, following_bad = np.append(targets[1:], IGNORE_INDEX), np.append(judged[1:], False)
        targets = np.where(before_mark, np.where(passes, following, IGNORE_INDEX), targets)
        bad = np.where(before_mark, following_bad, judged)
        if not self.learns_bad:
            targets = np.where(bad, IGNORE_INDEX, targets)
        columns = (_shorten(column, ~removed, fill) for column, fill in ((inputs, 0), (targets, IGNORE_INDEX), (bad, 0)))
        inputs, targets, bad = columns
        documents = _shorten(row.document_ids, ~removed, row.document_ids[-1] + 1)  # padding is a document of its own
        return Sample(inputs, targets, documents, bad.astype(np.float32) if self.flags_bad else None)

    def _choose_kept(self, row: Sample, key: Sequence[int]) -> NDArray[np.bool_]:
        """Whether each token of a row is a mark that stays as an input, (T,)."""
        kept = np.zeros(len(row.input_ids), np.bool_)
        if not self.keeps:
            return kept
        positions = np.flatnonzero(self.marks.find(row.input_ids))
        same = (np.diff(row.input_ids[positions]) == 0) & (np.diff(row.document_ids[positions]) == 0)
        repeats = np.append(np.zeros(min(1, len(positions)), np.bool_), same)
        drawn = np.random.default_rng(list(key)).random(len(positions)) if 0 < self.dropout < 1 else np.zeros(len(positions))
        kept[positions] = ~repeats | (drawn >= self.dropout)
        return kept


def _shorten(column: NDArray[Any], keep: NDArray[np.bool_], fill: Any) -> NDArray[Any]:
    """The values that are kept, followed by `fill`."""
    result = np.full_like(column, fill)
    values = column[keep]
    result[: len(values)] = values
    return result
