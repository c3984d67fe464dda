"""Packing: several examples share a row of fixed length; none is cut, and none attends to another.

Shapes: B rows, T positions in a row, n tokens of an example.
"""

import hashlib
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

import numpy as np

from lmcraft.data.loader import IGNORE_INDEX, Batch, Sample, TokenDataset
from lmcraft.data.shuffle import epoch_keys, permute
from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import TokenizedExample


class PackedRows:
    """Examples in rows, in a new order each epoch: row = f(seed, index).

    Raises:
        UserError: there are no examples, or one is longer than a row.
    """

    def __init__(
        self, examples: Sequence[TokenizedExample], sequence_length: int, seed: int = 0, *, packing: bool = True
    ) -> None:
        if not examples:
            raise UserError("there are no examples to train on: add data, or lower --validation")
        if (longest := max(map(len, examples))) > sequence_length:
            raise UserError(
                f"an example of {longest} tokens would be cut at sequence_length={sequence_length}: "
                "raise it, or leave such examples out with --too-long skip"
            )
        self.examples, self.sequence_length, self.seed = examples, sequence_length, seed
        shared = packing and all(example.values is None for example in examples)
        lengths = [len(example) for example in examples]
        self.rows = best_fit(lengths, sequence_length) if shared else [[n] for n in range(len(examples))]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order, trimmed to the longest of them."""
        return Batch.stack([self.sample(index) for index in indices]).trim_padding()

    def sample(self, index: int) -> Sample:
        """The row with a global index."""
        epoch, position = divmod(index, len(self.rows))
        return self._row(permute(position, len(self.rows), epoch_keys(self.seed, epoch)[1]))

    def ordered(self) -> Iterator[Sample]:
        """Every row once."""
        return (self._row(number) for number in range(len(self.rows)))

    def fingerprint(self) -> str:
        """Hash of the examples."""
        digest = hashlib.sha256()
        for example in self.examples:
            for array in (example.input_ids, example.targets, example.document_ids, example.values):
                digest.update(b"none" if array is None else array.tobytes())
        return digest.hexdigest()

    def _row(self, number: int) -> Sample:
        T = self.sequence_length
        inputs, targets, documents = np.zeros(T, np.int64), np.full(T, IGNORE_INDEX, np.int64), np.zeros(T, np.int64)
        start, document, values = 0, 0, None
        for example in (self.examples[n] for n in self.rows[number]):
            end = start + len(example)
            inputs[start:end], targets[start:end] = example.input_ids, example.targets
            documents[start:end] = document + (0 if example.document_ids is None else example.document_ids)
            start, document, values = end, document + example.num_documents, example.values
        documents[start:] = document  # padding is a document of its own
        return Sample(inputs, targets, documents, values)


class MixedRows:
    """Examples and general text: a fixed `share` of the rows, evenly spaced, is general text."""

    def __init__(self, rows: PackedRows, general: TokenDataset, share: float) -> None:
        self.rows, self.general, self.share, self.sequence_length = rows, general, share, rows.sequence_length

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these global indices, in this order."""
        return Batch.stack([self._sample(index) for index in indices]).trim_padding()

    def ordered(self) -> Iterator[Sample]:
        """Every row of the examples once, without the general text."""
        return self.rows.ordered()

    def fingerprint(self) -> str:
        """Hash of the examples and of the general text."""
        return self.rows.fingerprint() + self.general.fingerprint()

    def _sample(self, index: int) -> Sample:
        before, after = (int(n * self.share) for n in (index, index + 1))
        return self.general.sample(before) if after > before else self.rows.sample(index - before)


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Best-fit decreasing: indices of the lengths that share each row of `capacity`.

    The longest come first, and each goes into the row in which the least space remains.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (free space, row), sorted
    for number in sorted(range(len(lengths)), key=lambda n: -lengths[n]):
        position = bisect_left(free, (lengths[number], -1))
        space, row = free.pop(position) if position < len(free) else (capacity, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(number)
        insort(free, (space - lengths[number], row))
    return rows
