"""Examples as units of differential privacy: one example, one row."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from lmcraft.data.loader import Batch, Sample
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.packing import PackedRows
from lmcraft.training.dp.units import stack_rows


class ExampleUnits:
    """The examples by number; nothing about a row is random (`lmcraft.training.dp.units.Units`).

    Args:
        examples: of a single document each.
        sequence_length: tokens of a row at most, and of an example.
    """

    def __init__(self, examples: Sequence[TokenizedExample], sequence_length: int) -> None:
        assert all(example.num_documents == 1 and example.values is None for example in examples)
        self.examples, self.sequence_length = examples, sequence_length

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def mean_length(self) -> float:
        """Tokens of an example, on average."""
        return sum(map(len, self.examples)) / len(self.examples)

    def row(self, number: int, draw: int) -> Sample:
        """The row of an example, (T,), without padding."""
        example = self.examples[number]
        return Sample(example.input_ids, example.targets, np.zeros_like(example.input_ids))

    def batch(self, indices: Sequence[int]) -> Batch:
        """The rows with these numbers, which begin anew after the last; padding is a document of its own."""
        rows = [self.row(index % len(self), 0) for index in indices]
        lengths = np.array([len(row.input_ids) for row in rows])
        padding = np.arange(lengths.max()) >= lengths[:, None]
        return replace(stack_rows(rows, int(lengths.max())), document_ids=padding.astype(np.int64))

    def ordered(self) -> Iterator[Sample]:
        """Every row once."""
        return (self.row(number, 0) for number in range(len(self)))

    def fingerprint(self) -> str:
        """Hash of the examples."""
        return PackedRows(self.examples, self.sequence_length, packing=False).fingerprint()
