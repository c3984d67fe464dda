"""Samples depend on seed and index only: each epoch covers every token once, whatever the workers, rows or shards."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft import PrepareConfig, prepare
from lmcraft.data.loader import IGNORE_INDEX, TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder


def dataset(folder: Path, lines: int) -> TokenSplit:
    (folder / "a.jsonl").write_text("".join(f'{{"text": "{chr(97 + n % 26) * (1 + n % 7)}{n}"}}\n' for n in range(lines)))
    out = folder / "data"
    prepare(PrepareConfig((str(folder / "a.jsonl"),), out=out, vocab_size=300, validation=0.3, overwrite=True))
    return TokenSplit(DatasetFolder(out), "train")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> TokenSplit:
    return dataset(tmp_path_factory.mktemp("data"), 200)


@given(length=st.integers(1, 90), seed=st.integers(0, 9), epoch=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_every_token_of_an_epoch_is_a_target_once(split: TokenSplit, length: int, seed: int, epoch: int) -> None:
    rows = TokenDataset(split, length, seed)
    first = epoch * rows.samples_per_epoch
    samples = [rows.sample(first + i) for i in range(rows.samples_per_epoch)]
    pairs = Counter(
        (int(a), int(b)) for s in samples for a, b in zip(s.input_ids, s.targets, strict=True) if b != IGNORE_INDEX
    )
    tokens = split.slice(0, len(split))
    assert pairs == Counter(zip(tokens[:-1].tolist(), tokens[1:].tolist(), strict=True))


def test_samples_do_not_depend_on_batches_or_workers(split: TokenSplit) -> None:
    rows = TokenDataset(split, 16, seed=3)
    whole = rows.batch(range(24))
    by_workers = [rows.batch(range(worker, 24, 3)) for worker in range(3)]
    for worker, part in enumerate(by_workers):
        assert np.array_equal(part.input_ids, whole.input_ids[worker::3])
        assert np.array_equal(part.targets, whole.targets[worker::3])
    assert not np.array_equal(whole.input_ids, TokenDataset(split, 16, seed=4).batch(range(24)).input_ids)


def test_document_ids_rise_where_a_document_begins(split: TokenSplit) -> None:
    end = split.slice(0, len(split))[-1]  # the end-of-document token
    for sample in list(TokenDataset(split, 32).ordered())[:-1]:
        rises = np.flatnonzero(np.diff(sample.document_ids)) + 1
        ends = np.flatnonzero(sample.input_ids[:-1] == end) + 1
        assert rises.tolist() == ends.tolist()


def test_too_little_text_is_an_error() -> None:
    with TemporaryDirectory() as folder, pytest.raises(UserError):
        dataset(Path(folder), 1)


def test_two_parts_of_a_split_have_its_tokens_once(split: TokenSplit) -> None:
    parts = [TokenDataset(split, 16, part=part) for part in ((0.0, 0.6), (0.6, 1.0))]
    tokens = [[int(t) for s in part.ordered() for t in s.targets if t != IGNORE_INDEX] for part in parts]
    whole, border = split.slice(0, len(split)).tolist(), round(0.6 * len(split))
    assert tokens == [whole[1:border], whole[border + 1 :]]
    rows = list(parts[1].ordered())
    begins = [16 * n + int(i) + 1 for n, row in enumerate(rows) for i in np.flatnonzero(np.diff(row.document_ids))]
    documents = [int(start) for start in split.document_starts(border, len(split) - 1) - border]
    assert [start for start in begins if start < len(tokens[1])] == [start for start in documents if start % 16]
