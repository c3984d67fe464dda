"""Rows of fill-in-the-middle: put together again, they are the text that they were cut from."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from lmcraft.data.document_numbers import number_rows
from lmcraft.data.documents import Document
from lmcraft.data.fill_in_middle import FillInMiddleReading
from lmcraft.data.loader import IGNORE_INDEX, Sample, TokenDataset, TokenSplit
from lmcraft.data.shards import write_dataset
from lmcraft.folder import DatasetFolder
from lmcraft.tokenizer.fill_in_middle import FILL_IN_MIDDLE_TOKENS
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import END_OF_TEXT, train_bpe

MARKS = "".join(FILL_IN_MIDDLE_TOKENS)
TEXTS = [
    "x",  # one character
    "天地玄黄，宇宙洪荒。" * 9,
    f"{MARKS}{END_OF_TEXT}" * 4,  # special tokens as text
    "a NUL \0, an invalid byte \ufffd, e\u0301 and 👩‍👩‍👧 stay",
    "  \n\t ",
    *(f"def f{n}(a, b):\n    total = a + {n} * b  # 好\n    return total ** {n}\n" * (1 + n % 3) for n in range(25)),
]
END, PREFIX, SUFFIX, MIDDLE = range(4)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(TEXTS[5:], vocab_size=300, special_tokens=(END_OF_TEXT, *FILL_IN_MIDDLE_TOKENS))


@pytest.fixture(scope="module")
def dataset(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    documents = [Document(text, f"document {n}", 1) for n, text in enumerate(TEXTS)]
    out = tmp_path_factory.mktemp("fim") / "data"
    return write_dataset(out, lambda stats: iter(documents), tokenizer, validation=0.0)


def reading(tokenizer: Tokenizer, rate: float = 1.0, spm_rate: float = 0.5) -> FillInMiddleReading:
    special = tokenizer.special_tokens.values()
    return FillInMiddleReading(tokenizer, PREFIX, SUFFIX, MIDDLE, END, rate, spm_rate, special)


def rows(dataset: DatasetFolder, length: int, cut: FillInMiddleReading | None, seed: int = 3) -> TokenDataset:
    return TokenDataset(TokenSplit(dataset, "train"), length, seed, reading=cut)


def documents_of(row: Sample) -> Iterator[list[int]]:
    """The tokens of each document of a row, with the last target."""
    used = int(np.flatnonzero(row.targets != IGNORE_INDEX).max(initial=-1)) + 1
    ids = row.input_ids[:used].tolist()
    if ids and ids[-1] != END:
        ids.append(int(row.targets[used - 1]))
    borders = [0, *(np.flatnonzero(np.diff(row.document_ids[:used])) + 1).tolist(), len(ids)]
    for start, stop in pairwise(borders):
        yield ids[start:stop]


def restore(ids: list[int]) -> list[int]:
    """The parts of a cut document in the order of its text."""
    second, third = ids.index(SUFFIX), ids.index(MIDDLE)
    assert ids[0] == PREFIX and ids.count(PREFIX) == ids.count(SUFFIX) == ids.count(MIDDLE) == 1
    suffix, rest = ids[second + 1 : third], [token for token in ids[third + 1 :] if token != END]
    return [*ids[1:second], *rest, *suffix]  # rest is middle, or prefix and middle


@pytest.mark.parametrize("length", [33, 64, 400])
def test_the_parts_of_a_document_are_its_text(length: int, dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    texts = [tokenizer.decode_bytes(tokenizer.encode(text)) for text in TEXTS]
    data, cut, total = rows(dataset, length, reading(tokenizer)), 0, 0
    for index in range(data.samples_per_epoch):
        row = data.sample(index)
        for ids in documents_of(row):
            total += 1
            if PREFIX in ids:
                cut += 1
                text = tokenizer.decode_bytes(restore(ids), skip_special_tokens=False)
                assert any(text in whole for whole in texts)
        learned = row.targets[row.targets != IGNORE_INDEX]
        assert not np.isin(learned, [PREFIX, SUFFIX, MIDDLE]).any(), "special tokens are never targets"
    assert cut > 0.7 * total


def test_a_middle_ends_with_the_end_token(dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    data = rows(dataset, 64, reading(tokenizer))
    for index in range(data.samples_per_epoch):
        for ids in documents_of(data.sample(index)):
            assert PREFIX not in ids or ids[-1] == END or ids[ids.index(MIDDLE) :].count(END) == 1


def test_both_orders_occur(dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    def suffix_first(rate: float) -> list[bool]:
        data = rows(dataset, 400, reading(tokenizer, spm_rate=rate))
        documents = [ids for index in range(data.samples_per_epoch) for ids in documents_of(data.sample(index))]
        return [ids[1] == SUFFIX for ids in documents if PREFIX in ids]

    assert all(suffix_first(1.0))
    assert 0.1 < np.mean(suffix_first(0.5)) < 0.9
    assert np.mean(suffix_first(0.0)) < 0.3  # an empty prefix


def test_a_rate_of_zero_changes_nothing(dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    plain, uncut = rows(dataset, 64, None), rows(dataset, 64, reading(tokenizer, rate=0.0))
    different = 0
    for index in range(2 * plain.samples_per_epoch):
        expected, row = plain.sample(index), uncut.sample(index)
        different += not np.array_equal(row.targets, expected.targets)
    assert different <= 2  # the row of each epoch that crosses the end of the text


def test_a_row_depends_on_seed_and_index_only(dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    first, again = (rows(dataset, 64, reading(tokenizer, 0.5), seed=-1) for _ in range(2))
    backwards = [again.sample(index) for index in reversed(range(12))][::-1]
    for name in ("input_ids", "targets", "document_ids"):
        np.testing.assert_array_equal(getattr(first.batch(range(12)), name), [getattr(row, name) for row in backwards])
    other = rows(dataset, 64, reading(tokenizer, 0.5), seed=4).batch(range(12))
    assert not np.array_equal(first.batch(range(12)).input_ids, other.input_ids)


@pytest.mark.parametrize("length", range(1, 8))
def test_rows_of_a_few_tokens(length: int, dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    data = rows(dataset, length, reading(tokenizer))
    for index in range(min(300, data.samples_per_epoch)):
        row = data.sample(index)
        assert row.input_ids.shape == row.targets.shape == row.document_ids.shape == (length,)
        assert (np.diff(row.document_ids) >= 0).all()


def test_the_numbers_of_documents(dataset: DatasetFolder, tokenizer: Tokenizer) -> None:
    data = rows(dataset, 64, reading(tokenizer, 0.5))
    numbers, count = number_rows(data, dataset)
    assert count == len(TEXTS)
    split, indices = TokenSplit(dataset, "train"), range(data.samples_per_epoch)
    borders = [*split.document_starts(0, len(split)).tolist(), len(split)]
    texts = [tokenizer.decode_bytes(split.slice(a, b - 1).tolist()) for a, b in pairwise(borders)]
    for index in indices:
        row, numbered = data.batch([index]), numbers.batch([index])
        np.testing.assert_array_equal(row.targets == IGNORE_INDEX, numbered.targets == IGNORE_INDEX)
        learned = row.targets != IGNORE_INDEX
        for number in set(numbered.targets[learned].tolist()):
            tokens = row.targets[learned & (numbered.targets == number)]
            assert all(tokenizer.decode_bytes([token]) in texts[number] for token in tokens if token != END)
