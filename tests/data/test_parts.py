"""A run reads each part in its share, each row of a part in turn, and the same rows at each index."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.data.loader import IGNORE_INDEX, TokenDataset
from lmcraft.data.mixture import Course, Mixture
from lmcraft.data.parts import BLOCK_ROWS, MixedDataset, MixedText, validation_rows
from lmcraft.folder import DatasetFolder
from tests.mixed import two_sources

LENGTH = 16


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> DatasetFolder:
    return two_sources(tmp_path_factory.mktemp("mixed"))


def open_text(folder: DatasetFolder, seed: int = 1, **settings: object) -> MixedText:
    return MixedText(folder, LENGTH, seed, Mixture.read(folder.manifest(), **settings))  # type: ignore[arg-type]


class Numbered(TokenDataset):
    """Stands for a dataset whose rows are never read."""

    def __init__(self) -> None:
        self.sequence_length = LENGTH


@given(
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=6).filter(lambda weights: sum(weights) > 0.01),
    later=st.lists(st.floats(0.001, 1), min_size=6, max_size=6),
    seed=st.integers(0, 5),
)
@settings(max_examples=15, deadline=None)
def test_shares_are_exact_within_a_row_at_each_block(weights: list[float], later: list[float], seed: int) -> None:
    first, second = np.array(weights) / sum(weights), np.array(later[: len(weights)]) / sum(later[: len(weights)])
    course = Course([(0.0, first), (1500.0, first), (2500.0, second)])
    dataset = MixedDataset({str(n): Numbered() for n in range(len(weights))}, course, seed)
    last = 3000 // BLOCK_ROWS
    for block in range(1, last + 1):
        due, read = course.rows_before(block * BLOCK_ROWS), dataset._read_before(block)
        assert ((read <= due) & (due < read + 1)).all() and due.sum() == pytest.approx(block * BLOCK_ROWS)
    located = [dataset.locate(index) for index in range(int(dataset._read_before(last).sum()))]
    counts = Counter(part for part, _ in located)
    assert [counts[part] for part in range(len(weights))] == dataset._read_before(last).tolist()
    assert len(set(located)) == len(located)
    assert {part: max(row for p, row in located if p == part) for part in counts} == {p: c - 1 for p, c in counts.items()}


def test_a_row_depends_on_seed_and_index_only(folder: DatasetFolder) -> None:
    rows = open_text(folder).rows(3000)
    indices = [2999, 0, 1500, 1023, 1024]
    whole = rows.batch(indices)
    again = open_text(folder).rows(3000)
    for row, index in enumerate(indices):
        assert np.array_equal(again.batch([index]).input_ids[0], whole.input_ids[row])
    assert not np.array_equal(open_text(folder, seed=2).rows(3000).batch(indices).input_ids, whole.input_ids)
    assert rows.fingerprint() == again.fingerprint()


def test_without_a_schedule_a_longer_run_begins_with_the_same_rows(folder: DatasetFolder) -> None:
    short, long = (open_text(folder, overrides={"letters": 1.0, "digits": 2.0}).rows(n) for n in (1000, 9000))
    assert np.array_equal(short.batch(range(0, 1000, 37)).input_ids, long.batch(range(0, 1000, 37)).input_ids)


def test_each_epoch_of_a_part_has_each_of_its_tokens_once(folder: DatasetFolder) -> None:
    rows = open_text(folder, overrides={"digits": 0.0}).rows(10_000)
    letters = rows.datasets["letters-en-1"]
    targets = Counter[int]()
    for index in range(letters.samples_per_epoch):
        targets.update(t for t in rows.sample(index).targets.tolist() if t != IGNORE_INDEX)
    tokens = letters.split.slice(0, len(letters.split)).tolist()
    assert targets.total() == pytest.approx(len(tokens), rel=0.1)  # a block's order may cross the border of the epoch
    located = sorted(rows.locate(index)[1] for index in range(8 * BLOCK_ROWS))
    assert located == list(range(8 * BLOCK_ROWS))


def test_a_short_run_follows_its_schedule(tmp_path: Path) -> None:
    stages = [{"until": 0.5, "weights": {"digits": 0.0}}, {"weights": {"letters": 0.0}}]
    rows = open_text(two_sources(tmp_path, {"schedule": stages})).rows(96)
    assert [rows.locate(index)[0] for index in range(96)] == 48 * [0] + 48 * [1]


def test_a_proxy_reads_the_start_of_each_part(folder: DatasetFolder) -> None:
    text = open_text(folder, target_tokens=40 * LENGTH * 10)
    proxy = text.rows(40)
    for name, dataset in text.rows(400).datasets.items():
        assert proxy.datasets[name].targets_per_epoch + 1 == round((dataset.targets_per_epoch + 1) / 10)


def test_validation_rows_of_all_sources_are_spread_evenly(folder: DatasetFolder) -> None:
    rows = validation_rows(folder, LENGTH)
    assert list(rows) == ["", "letters", "digits"]
    assert rows[""].targets_per_epoch == rows["letters"].targets_per_epoch + rows["digits"].targets_per_epoch
    tokens = {name: [sample.input_ids.tolist() for sample in dataset.ordered()] for name, dataset in rows.items()}
    assert sorted(tokens[""]) == sorted(tokens["letters"] + tokens["digits"])
    half = tokens[""][: len(tokens[""]) // 2]
    assert abs(sum(row in tokens["digits"] for row in half) - len(tokens["digits"]) / 2) <= 1


def test_validation_and_holdout_divide_each_part(folder: DatasetFolder) -> None:
    portions = [validation_rows(folder, LENGTH, portion) for portion in ((0.0, 0.75), (0.75, 1.0))]
    whole = validation_rows(folder, LENGTH)
    for name, dataset in whole.items():
        sizes = [portion[name].targets_per_epoch for portion in portions]
        assert sum(sizes) == pytest.approx(dataset.targets_per_epoch, abs=2) and sizes[0] > 2 * sizes[1]
