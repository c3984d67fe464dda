"""Documents as units: windows, the token before a document, padding."""

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX, Sample
from lmcraft.training.dp.units import DocumentUnits, micro_batches


class Split:
    """Documents of 3, 1 and 10 tokens, whose last is 9."""

    documents = ([1, 2, 9], [9], [*range(10, 19), 9])

    def __len__(self) -> int:
        return sum(map(len, self.documents))

    def document_starts(self, start: int, stop: int) -> np.ndarray:
        return np.array([0, 3, 4])

    def slice(self, start: int, stop: int) -> np.ndarray:
        return np.concatenate([np.array(ids, np.uint16) for ids in self.documents])[start:stop]

    def fingerprint(self) -> str:
        return ""


def units(end: int | None = 9, more: tuple[np.ndarray, ...] = ()) -> DocumentUnits:
    return DocumentUnits(Split(), 6, end, more)  # type: ignore[arg-type]


def tokens(row: Sample) -> list[int]:
    assert row.input_ids[1:].tolist() == row.targets[:-1].tolist() and not row.document_ids.any()
    return [*row.input_ids.tolist(), *row.targets[-1:].tolist()]


def test_a_document_begins_after_the_end_of_another() -> None:
    assert tokens(units().row(0, 5)) == [9, 1, 2, 9]
    assert tokens(units().row(1, 5)) == [9, 9]
    assert tokens(units(end=None).row(0, 5)) == [1, 2, 9]
    assert units(end=None).row(1, 5).targets.size == 0


@pytest.mark.parametrize("end", [9, None])
def test_every_part_of_a_long_document_is_read(end: int | None) -> None:
    whole = ([] if end is None else [end]) + Split.documents[2]
    windows = {tuple(tokens(units(end).row(2, draw))) for draw in range(20)}
    assert windows == {tuple(whole[start : start + 7]) for start in range(len(whole) - 6)}


def test_further_documents_come_last() -> None:
    both = units().with_documents([np.array([4, 5, 9])])
    assert len(both) == 4 and tokens(both.row(3, 0)) == [9, 4, 5, 9]
    assert both.mean_length == pytest.approx((3 + 1 + 6 + 3) / 4)


def test_rows_of_similar_length_share_a_micro_batch() -> None:
    lengths = (40, 3, 64, 0, 33, 5)
    rows = [Sample(np.full(n, n), np.full(n, n), np.zeros(n, np.int64)) for n in lengths]
    batches = micro_batches(rows, 128, 100)
    assert [batch.input_ids.shape for batch in batches] == [(2, 64), (2, 64), (1, 32)]
    assert [batch.input_ids[:, 0].tolist() for batch in batches] == [[64, 40], [33, 5], [3]]
    assert (batches[1].targets[0, 33:] == IGNORE_INDEX).all()
    assert micro_batches(rows[:2], 1, 50)[0].input_ids.shape == (1, 50)
