"""The loss of several sources, and the rows of an evaluation that each process reads."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX, Batch, Dataset, Sample
from lmcraft.training.processes import Processes
from lmcraft.training.validation import MIN_SOURCE_ROWS, ValidationLoss, ValidationSource, batches_in_order

LENGTH = 4


class Rows:
    """Rows whose tokens are the row's number."""

    sequence_length = LENGTH

    def __init__(self, first: int, count: int) -> None:
        self.numbers = range(first, first + count)

    def batch(self, indices: Sequence[int]) -> Batch:
        return Batch.stack([self._row(self.numbers[index]) for index in indices])

    def ordered(self) -> Iterator[Sample]:
        return map(self._row, self.numbers)

    def fingerprint(self) -> str:
        return str(self.numbers)

    def _row(self, number: int) -> Sample:
        tokens = np.full(LENGTH, number, np.int64)
        return Sample(tokens, tokens, np.zeros(LENGTH, np.int64))


def test_the_total_weighs_sources_by_their_tokens_and_small_ones_get_some_rows() -> None:
    sources = {"web": ValidationSource(Rows(0, 99), 0.9, 4.0), "books": ValidationSource(Rows(99, 11), 0.1, 2.0)}
    read = dict[str, int]()

    def validate(rows: Dataset, tokens: int) -> float:
        read[rows.fingerprint()] = tokens
        return 1.0 if "range(0" in rows.fingerprint() else 3.0

    loss = ValidationLoss.of_sources(sources, 200, validate, 3.8)
    assert loss.loss == pytest.approx(0.9 * 1 + 0.1 * 3)
    assert list(read.values()) == [180, MIN_SOURCE_ROWS * LENGTH]
    assert loss.metrics().keys() == {
        *("validation_loss", "bits_per_byte", "validation_loss/web", "bits_per_byte/web"),
        *("validation_loss/books", "bits_per_byte/books"),
    }
    assert loss.metrics()["bits_per_byte/books"] == pytest.approx(3 / np.log(2) / 2)
    assert loss.describe() == "1.2000 (web 1.0000, books 3.0000)  0.456 bits per byte"


def test_a_loss_without_sources_has_only_itself() -> None:
    assert ValidationLoss(2.0, 0.0).metrics() == {"validation_loss": 2.0}
    assert ValidationLoss(2.0, 0.0).metrics("holdout") == {"holdout_loss": 2.0}
    assert ValidationLoss(2.0, 0.0).describe() == "2.0000"


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_share_the_first_rows(ranks: int) -> None:
    rows = Rows(0, 9)
    processes = [cast(Processes, SimpleNamespace(data_rank=rank, data_count=ranks)) for rank in range(ranks)]
    shares = [list(batches_in_order(rows, 7 * LENGTH, 2, one)) for one in processes]
    assert len({len(share) for share in shares}) == 1
    read = [int(row[0]) for share in shares for batch in share for row in batch.targets if row[0] != IGNORE_INDEX]
    assert sorted(read) == list(range(7))
