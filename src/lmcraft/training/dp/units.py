"""The units of the training data, whose presence the guarantee hides: each is one row of a step that draws it.

Shapes: B rows, T tokens.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np

from lmcraft.data.loader import IGNORE_INDEX, LENGTH_MULTIPLE, Batch, Dataset, Int64, Sample, TokenSplit


class Units(Dataset, Protocol):
    """The units by number."""

    def __len__(self) -> int:
        """The number of units."""

    @property
    def mean_length(self) -> float:
        """Tokens of a row, on average over the units."""

    def row(self, number: int, draw: int) -> Sample:
        """The row of a unit, without padding: a single document, (T,), of at most `sequence_length` tokens.

        Args:
            number: of the unit.
            draw: a random number from 0 to 2**63 - 1, from which all random choices follow.
        """


class DocumentUnits:
    """The documents of the training split. Of one that is longer than a row, each draw reads a part at random.

    Args:
        split: of a dataset folder.
        sequence_length: tokens of a row at most.
        end: the token between documents, which also comes before the first token of a row; None: there is none.
        more: further documents, as token ids (T,), each with its end token.
    """

    def __init__(self, split: TokenSplit, sequence_length: int, end: int | None, more: Sequence[Int64] = ()) -> None:
        self.sequence_length, self._split, self._end, self._more = sequence_length, split, end, more
        self._starts = np.append(split.document_starts(0, len(split)), len(split))

    def __len__(self) -> int:
        return len(self._starts) - 1 + len(self._more)

    def with_documents(self, more: Sequence[Int64]) -> "DocumentUnits":
        """Also these documents, as token ids (T,), each with its end token."""
        return DocumentUnits(self._split, self.sequence_length, self._end, [*self._more, *more])

    @cached_property
    def mean_length(self) -> float:
        """As in `Units`."""
        before = self._end is not None
        lengths = np.append(np.diff(self._starts), [len(ids) for ids in self._more]) + before - 1
        return float(np.minimum(lengths, self.sequence_length).mean())

    def row(self, number: int, draw: int) -> Sample:
        """As in `Units`."""
        before = [] if self._end is None else [self._end]
        length = self._length(number) + len(before)
        window = min(length, self.sequence_length + 1)
        start = draw % (length - window + 1)
        first, stop = max(0, start - len(before)), start + window - len(before)
        tokens = np.concatenate([np.array(before[start:], np.int64), self._tokens(number, first, stop)])
        return Sample(tokens[:-1], tokens[1:], np.zeros(len(tokens) - 1, np.int64))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows of units with these numbers, for measurements before a run; the numbers begin anew after the last."""
        return stack_rows([self.row(index % len(self), 0) for index in indices], self.sequence_length)

    def ordered(self) -> Iterator[Sample]:
        """All rows once."""
        return (self.row(number, 0) for number in range(len(self)))

    def fingerprint(self) -> str:
        """Hash of the tokens of the split."""
        return self._split.fingerprint

    def _length(self, number: int) -> int:
        if number >= len(self._starts) - 1:
            return len(self._more[number - len(self._starts) + 1])
        return int(self._starts[number + 1] - self._starts[number])

    def _tokens(self, number: int, first: int, stop: int) -> Int64:
        """The tokens of a document from position `first` to `stop`."""
        if number >= len(self._starts) - 1:
            return self._more[number - len(self._starts) + 1][first:stop]
        start = int(self._starts[number])
        return self._split.slice(start + first, start + stop).astype(np.int64)


def micro_batches(rows: Sequence[Sample], max_tokens: int, max_length: int) -> list[Batch]:
    """The rows, longest first, in batches of at most `max_tokens` tokens with their padding, or of one row.

    Rows without a target are left out: they have no gradient. No row is padded beyond `max_length`.
    """
    used = sorted((row for row in rows if (row.targets != IGNORE_INDEX).any()), key=lambda row: -len(row.input_ids))
    batches, start = [], 0
    while start < len(used):
        length = min(max_length, _padded(len(used[start].input_ids)))
        stop = start + max(1, max_tokens // length)
        batches.append(stack_rows(used[start:stop], length))
        start = stop
    return batches


def stack_rows(rows: Sequence[Sample], length: int) -> Batch:
    """The rows as one batch, padded to a length; padding comes last and belongs to the row's document."""
    inputs = np.zeros((len(rows), length), np.int64)
    targets = np.full_like(inputs, IGNORE_INDEX)
    for n, row in enumerate(rows):
        inputs[n, : len(row.input_ids)], targets[n, : len(row.targets)] = row.input_ids, row.targets
    return Batch(inputs, targets, np.zeros_like(inputs))


def _padded(length: int) -> int:
    return -(-length // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
