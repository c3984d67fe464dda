"""Samples of any length in rows of one length: several share a row, none is cut, and none sees another.

Shapes: B rows, T positions in a row, n tokens of a sample.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Batch, Int64, Sample, TokenDataset
from lmcraft.data.permutation import epoch_keys, permute
from lmcraft.errors import UserError


@dataclass(frozen=True)
class Piece:
    """What goes into a row as a whole: one document, or several that belong together."""

    input_ids: Int64
    """(n,)"""
    targets: Int64
    """(n,), IGNORE_INDEX where nothing is learned."""
    document_ids: Int64 | None = None
    """(n,), 0, 1, ... where it is several documents; None: one."""
    values: NDArray[np.float32] | None = None
    """(K,) what else the objective knows; such a piece has a row of its own."""

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def documents(self) -> int:
        return 1 if self.document_ids is None else int(self.document_ids[-1]) + 1


class PackedRows:
    """Pieces in rows, in another order in each epoch: row = f(seed, index).

    Raises:
        UserError: there are no pieces, or one is longer than a row.
    """

    def __init__(self, pieces: Sequence[Piece], sequence_length: int, seed: int = 0, *, packing: bool = True) -> None:
        if not pieces:
            raise UserError("there are no samples to train on: give more data, or a smaller --validation")
        if (longest := max(map(len, pieces))) > sequence_length:
            raise UserError(
                f"a sample of {longest} tokens would be cut at sequence_length={sequence_length}: "
                "raise it, or leave such samples out with --too-long skip"
            )
        self.pieces, self.sequence_length, self.seed = pieces, sequence_length, seed
        together = packing and all(piece.values is None for piece in pieces)
        lengths = [len(piece) for piece in pieces]
        self.rows = best_fit(lengths, sequence_length) if together else [[n] for n in range(len(pieces))]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order, as long as the longest of them."""
        return Batch.stack([self.sample(index) for index in indices]).trim_padding()

    def sample(self, index: int) -> Sample:
        """The row with a global index."""
        return self._row(self._place(index))

    def ordered(self) -> Iterator[Sample]:
        """All rows once."""
        return (self._row(number) for number in range(len(self.rows)))

    def _place(self, index: int) -> int:
        epoch, place = divmod(index, len(self.rows))
        return permute(place, len(self.rows), epoch_keys(self.seed, epoch)[1])

    def _row(self, number: int) -> Sample:
        T = self.sequence_length
        inputs, targets, documents = np.zeros(T, np.int64), np.full(T, IGNORE_INDEX, np.int64), np.zeros(T, np.int64)
        at, document, values = 0, 0, None
        for piece in (self.pieces[n] for n in self.rows[number]):
            end = at + len(piece)
            inputs[at:end], targets[at:end] = piece.input_ids, piece.targets
            documents[at:end] = document + (0 if piece.document_ids is None else piece.document_ids)
            at, document, values = end, document + piece.documents, piece.values
        documents[at:] = document  # padding is a document of its own
        return Sample(inputs, targets, documents, values)


class Mixed:
    """Rows of two kinds: of each hundred, so many are `general` ones, at even distances."""

    def __init__(self, rows: PackedRows, general: TokenDataset, share: float) -> None:
        self.rows, self.general, self.share, self.sequence_length = rows, general, share, rows.sequence_length

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return Batch.stack([self._sample(index) for index in indices]).trim_padding()

    def ordered(self) -> Iterator[Sample]:
        """The rows that are no general ones, once."""
        return self.rows.ordered()

    def _sample(self, index: int) -> Sample:
        before, after = (int(n * self.share) for n in (index, index + 1))
        return self.general.sample(before) if after > before else self.rows.sample(index - before)


def best_fit(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Which lengths share a row of `room`: the longest first, each where it leaves the least (best-fit decreasing)."""
    rows: list[list[int]] = []
    left: list[tuple[int, int]] = []  # (room left, row), sorted
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        place = bisect_left(left, (lengths[number], -1))
        free, row = left.pop(place) if place < len(left) else (room, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(number)
        insort(left, (free - lengths[number], row))
    return rows
