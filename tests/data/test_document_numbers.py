"""Rows of a run without some documents."""

import numpy as np
import pytest

from lmcraft.data.document_numbers import LeftOut, number_rows
from lmcraft.data.loader import IGNORE_INDEX, TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from tests.tiny import tiny_dataset

LEFT_OUT = (0, 3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return DatasetFolder(tiny_dataset(tmp_path_factory.mktemp("numbers")))


@pytest.fixture
def rows(dataset: DatasetFolder) -> TokenDataset:
    return TokenDataset(TokenSplit(dataset, "train"), 48, seed=3)


def test_left_out_documents_are_neither_read_nor_predicted(dataset: DatasetFolder, rows: TokenDataset) -> None:
    numbers, _ = number_rows(rows, dataset)
    indices = range(2 * rows.samples_per_epoch)
    whole, without, documents = (r.batch(indices) for r in (rows, LeftOut(rows, dataset, LEFT_OUT), numbers))
    is_target = whole.targets != IGNORE_INDEX
    left_out = np.isin(documents.targets, LEFT_OUT) & is_target
    assert left_out.any()
    np.testing.assert_array_equal(without.targets, np.where(left_out, IGNORE_INDEX, whole.targets))
    read = np.isin(documents.input_ids, LEFT_OUT) & is_target  # padding has no document
    assert set(without.input_ids[read].tolist()) == {0}  # the dataset has no end token
    np.testing.assert_array_equal(without.input_ids[~read & is_target], whole.input_ids[~read & is_target])
    np.testing.assert_array_equal(without.document_ids, whole.document_ids)


def test_order_and_batches_agree(dataset: DatasetFolder, rows: TokenDataset) -> None:
    without = LeftOut(rows, dataset, LEFT_OUT)
    first = next(without.ordered())
    assert first.targets[0] == IGNORE_INDEX  # of document 0
    assert without.fingerprint() == rows.fingerprint()
    assert number_rows(without, dataset)[1] == number_rows(rows, dataset)[1]


@pytest.mark.parametrize("number", [-1, 10**6])
def test_documents_that_do_not_exist(dataset: DatasetFolder, rows: TokenDataset, number: int) -> None:
    with pytest.raises(UserError, match=f"without={number} is no document"):
        LeftOut(rows, dataset, [number])
