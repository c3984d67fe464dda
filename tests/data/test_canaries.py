"""Canaries in the rows of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lmcraft.data.canaries import Canaries, CanaryRows, draw_canaries, redraw_coins
from lmcraft.data.document_numbers import NO_DOCUMENT, LeftOut, number_rows
from lmcraft.data.loader import TokenDataset, TokenSplit
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return DatasetFolder(tiny_dataset(tmp_path_factory.mktemp("canaries")))


def draw(dataset: DatasetFolder, count: int = 8, seed: int = 0) -> Canaries:
    split = TokenSplit(dataset, "train")
    vocab_size = dataset.token_manifest()["vocab_size"]
    return draw_canaries(split, count, vocab_size=vocab_size, special=[0], end=None, seed=seed)


def test_secrets_are_different_rare_tokens_and_the_draw_depends_on_the_seed_alone(dataset: DatasetFolder) -> None:
    canaries = draw(dataset)
    tokens = TokenSplit(dataset, "train").slice(0, len(TokenSplit(dataset, "train")))
    secrets = [item.secret for item in canaries.items]
    others = set(range(1, dataset.token_manifest()["vocab_size"])) - set(secrets) - set(canaries.candidates)
    counts = np.bincount(tokens, minlength=dataset.token_manifest()["vocab_size"])
    assert len({*secrets, *canaries.candidates}) == len(secrets) + len(canaries.candidates)
    assert max(counts[[*secrets, *canaries.candidates]]) <= min(counts[list(others)])
    assert {0 < sum(item.included for item in draw(dataset, seed=seed).items) < 8 for seed in range(3)} == {True}
    assert draw(dataset) == canaries != draw(dataset, seed=1)


def test_each_included_canary_ends_as_many_rows_of_an_epoch_as_it_is_repeated(dataset: DatasetFolder) -> None:
    rows = TokenDataset(TokenSplit(dataset, "train"), 48, seed=3)
    canaries = replace(draw(dataset), period=rows.samples_per_epoch)
    batch = CanaryRows(rows, canaries).batch(range(rows.samples_per_epoch))
    plain = rows.batch(range(rows.samples_per_epoch))
    for item in canaries.items:
        L = len(item.ids) - 1
        ends = (batch.input_ids[:, -L:] == item.ids[:-1]).all(1) & (batch.targets[:, -L:] == item.ids[1:]).all(1)
        assert ends.sum() == item.included * item.repetitions
        assert (batch.document_ids[ends, -L] == batch.document_ids[ends, -L - 1] + 1).all()
    changed = (batch.input_ids != plain.input_ids).any(1)
    assert changed.sum() == len(canaries.documents())
    np.testing.assert_array_equal(batch.input_ids[:, : -L - 1], plain.input_ids[:, : -L - 1])


def test_times_read_counts_the_rows_of_a_run(dataset: DatasetFolder) -> None:
    rows = TokenDataset(TokenSplit(dataset, "train"), 48, seed=3)
    canaries = replace(draw(dataset), period=rows.samples_per_epoch)
    for count in (0, 10, canaries.period, 2 * canaries.period + 7):
        batch = CanaryRows(rows, canaries).batch(range(count)) if count else None
        for item, times in zip(canaries.items, canaries.times_read(count), strict=True):
            assert times == (0 if batch is None else (batch.targets[:, -12:] == item.ids[1:]).all(1).sum())


def test_the_tokens_of_canaries_have_no_document(dataset: DatasetFolder) -> None:
    rows = TokenDataset(TokenSplit(dataset, "train"), 48, seed=3)
    canaries = replace(draw(dataset), period=rows.samples_per_epoch)
    numbered, _ = number_rows(CanaryRows(LeftOut(rows, dataset, [0]), canaries), dataset)
    numbers = numbered.batch(range(rows.samples_per_epoch))
    plain = number_rows(rows, dataset)[0].batch(range(rows.samples_per_epoch))
    assert ((numbers.targets == NO_DOCUMENT).sum(1) == 12 * (numbers.targets[:, -1] == NO_DOCUMENT)).all()
    kept = numbers.targets != NO_DOCUMENT
    np.testing.assert_array_equal(numbers.targets[kept], plain.targets[kept])


def test_other_coins_leave_the_texts(dataset: DatasetFolder) -> None:
    canaries = draw(dataset)
    other = redraw_coins(canaries, 5)
    assert [item.ids for item in other.items] == [item.ids for item in canaries.items]
    assert other.items != canaries.items


def test_the_file_keeps_everything(dataset: DatasetFolder, tmp_path: Path) -> None:
    canaries = draw(dataset)
    canaries.write(tmp_path / "canaries.jsonl")
    assert Canaries.read(tmp_path / "canaries.jsonl") == canaries
    assert Canaries.read(tmp_path / "none.jsonl") is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"version": 9}', '{"version": 1}\nnull', "\0", '{"version": 1, "x": 2}']
)
def test_a_damaged_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "canaries.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match="is not a list of canaries"):
        Canaries.read(file)


def test_too_many_canaries(dataset: DatasetFolder) -> None:
    with pytest.raises(UserError, match="canaries=90 need a secret token each"):
        draw(dataset, 90)
    with pytest.raises(UserError, match="more than half of the 10 rows"):
        replace(draw(dataset), period=10).check_rows(48)
    with pytest.raises(UserError, match="need rows of 15 tokens"):
        replace(draw(dataset), period=1000).check_rows(14)
