"""Rows of marked text: what a naive reading of the same tokens gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft.data.loader import IGNORE_INDEX, Batch, Sample, TokenDataset, TokenSplit
from lmcraft.data.marks import MarkReading, Marks
from lmcraft.data.shards import save_shard
from lmcraft.folder import DatasetFolder, write_json

END, GOOD, BAD = 0, 1, 2
MARKS = Marks(GOOD, BAD, END)


@dataclass(frozen=True)
class Token:
    """A token of text: its document, and the mark before it, if there is one."""

    id: int
    document: int
    is_bad: bool
    mark: int | None


def make_documents(seed: int, count: int = 40) -> list[list[tuple[int, list[int]]]]:
    """Documents of passages: a mark and distinct tokens."""
    rng = np.random.default_rng(seed)
    fresh = iter(range(3, 10_000))
    return [
        [(int(rng.integers(1, 3)), [next(fresh) for _ in range(rng.integers(1, 6))]) for _ in range(rng.integers(1, 5))]
        for _ in range(count)
    ]


def write_split(folder: Path, documents: list[list[tuple[int, list[int]]]]) -> TokenSplit:
    texts = [[token for mark, ids in document for token in (mark, *ids)] + [END] for document in documents]
    folder.mkdir()
    shard = save_shard(
        folder / "train-00000.npy", np.concatenate(texts).astype(np.uint16), np.array([len(t) for t in texts])
    )
    split: Mapping[str, Any] = {"tokens": sum(map(len, texts)), "bytes": 1, "documents": len(texts), "shards": [shard]}
    write_json(folder / "manifest.json", {"splits": {"train": split}, "vocab_size": 10_000, "dtype": "uint16"})
    return TokenSplit(DatasetFolder(folder), "train")


def text_of(documents: list[list[tuple[int, list[int]]]]) -> dict[int, Token]:
    """Each token of text by its id, which are distinct."""
    tokens = {}
    for number, document in enumerate(documents):
        for mark, ids in document:
            for position, token in enumerate(ids):
                tokens[token] = Token(token, number, mark == BAD, mark if position == 0 else None)
    return tokens


def pairs(row: Sample) -> list[tuple[int, int]]:
    """Inputs with their targets, where there are any."""
    return [(int(x), int(y)) for x, y in zip(row.input_ids, row.targets, strict=True) if y != IGNORE_INDEX]


@pytest.fixture(scope="module")
def documents() -> list[list[tuple[int, list[int]]]]:
    return make_documents(0)


@pytest.fixture(scope="module")
def split(documents: list[list[tuple[int, list[int]]]], tmp_path_factory: pytest.TempPathFactory) -> TokenSplit:
    return write_split(tmp_path_factory.mktemp("marks") / "data", documents)


def epoch(split: TokenSplit, reading: MarkReading, length: int = 16) -> list[Sample]:
    dataset = TokenDataset(split, length, seed=3, reading=reading)
    return [dataset.sample(index) for index in range(dataset.samples_per_epoch)]


def following(documents: list[list[tuple[int, list[int]]]]) -> dict[int, int]:
    """The token of text after each token of text; the end token has none, since its documents are no neighbors."""
    texts = [[token for _, ids in document for token in ids] + [END] for document in documents]
    return {a: b for text in texts for a, b in pairwise(text)}


def test_without_its_marks_a_row_is_plain_text(documents: list[list[tuple[int, list[int]]]], split: TokenSplit) -> None:
    after = following(documents)
    learned: list[int] = []
    for row in epoch(split, MarkReading(MARKS)):
        assert not MARKS.find(row.input_ids[row.targets != IGNORE_INDEX]).any()
        for x, y in pairs(row):
            assert x == END or after[x] == y
        learned += [y for _, y in pairs(row) if y != END]
    tokens = set(text_of(documents))
    assert len(learned) == len(set(learned)), "each token is a target once"
    assert len(tokens - set(learned)) <= len(epoch(split, MarkReading(MARKS))), (
        "only tokens after a row's first mark are not"
    )


def test_a_row_is_padded_to_its_length(split: TokenSplit) -> None:
    rows = epoch(split, MarkReading(MARKS))
    assert Batch.stack(rows).input_ids.shape == (len(rows), 16)
    for row in rows:
        padding = row.document_ids == row.document_ids[-1]
        if row.targets[-1] == IGNORE_INDEX:
            assert (row.targets[padding] == IGNORE_INDEX).all() or row.document_ids[-1] == 0


def test_filtered_rows_learn_no_bad_passage(documents: list[list[tuple[int, list[int]]]], split: TokenSplit) -> None:
    tokens = text_of(documents)
    plain = [y for row in epoch(split, MarkReading(MARKS)) for _, y in pairs(row)]
    learned = [y for row in epoch(split, MarkReading(MARKS, learns_bad=False)) for _, y in pairs(row)]
    assert learned == [y for y in plain if y == END or not tokens[y].is_bad]
    assert 0 < len(learned) < len(plain)


def test_flags_say_which_targets_are_bad(documents: list[list[tuple[int, list[int]]]], split: TokenSplit) -> None:
    tokens = text_of(documents)
    for row in epoch(split, MarkReading(MARKS, flags_bad=True)):
        assert row.values is not None
        for y, flag in zip(row.targets.tolist(), row.values.tolist(), strict=True):
            assert y == IGNORE_INDEX or flag == (y != END and tokens[y].is_bad)


@pytest.mark.parametrize("dropout", [0.0, 0.5, 1.0])
def test_kept_marks_come_before_their_passages(
    documents: list[list[tuple[int, list[int]]]], split: TokenSplit, dropout: float
) -> None:
    """A passage has its mark, or it is like the one before; and each token is a target once."""
    tokens, after = text_of(documents), following(documents)
    learned: list[int] = []
    for row in epoch(split, MarkReading(MARKS, keeps=True, dropout=dropout)):
        assert not MARKS.find(row.targets).any(), "marks are never targets"
        state, document = None, -1
        for position, (x, y) in enumerate(zip(row.input_ids.tolist(), row.targets.tolist(), strict=True)):
            if row.document_ids[position] != document:
                state, document = None, row.document_ids[position]
            state = x if x in (GOOD, BAD) else state
            if y == IGNORE_INDEX:
                continue
            assert x in (GOOD, BAD, END) or after[x] == y
            if y != END and state is not None and x != END:
                assert tokens[y].is_bad == (state == BAD)
            learned += [y] if y != END else []
    assert len(learned) == len(set(learned))


def test_dropout_removes_its_share_of_the_marks_that_repeat_the_one_before(split: TokenSplit) -> None:
    def count(dropout: float) -> int:
        rows = epoch(split, MarkReading(MARKS, keeps=True, dropout=dropout), length=64)
        return sum(int(MARKS.find(row.input_ids).sum()) for row in rows)

    every, half, changes = count(0.0), count(0.5), count(1.0)
    assert changes < half < every
    assert half - changes == pytest.approx((every - changes) / 2, rel=0.3)
    for row in epoch(split, MarkReading(MARKS, keeps=True, dropout=1.0), length=64):
        positions = np.flatnonzero(MARKS.find(row.input_ids))
        for a, b in pairwise(positions):
            assert row.input_ids[a] != row.input_ids[b] or row.document_ids[a] != row.document_ids[b]


def test_rows_depend_on_seed_and_index_only(split: TokenSplit) -> None:
    reading = MarkReading(MARKS, keeps=True, dropout=0.5)
    dataset = TokenDataset(split, 16, seed=3, reading=reading)
    again = TokenDataset(split, 16, seed=3, reading=reading)
    for index in (5, 2, 100):
        assert np.array_equal(dataset.sample(index).input_ids, again.sample(index).input_ids)
    other = TokenDataset(split, 16, seed=4, reading=reading)
    assert any(not np.array_equal(dataset.sample(n).input_ids, other.sample(n).input_ids) for n in range(4))


def test_a_passage_that_began_long_before_the_row_keeps_its_mark(tmp_path: Path) -> None:
    split = write_split(tmp_path / "data", [[(BAD, list(range(3, 3000)))], [(GOOD, list(range(3000, 3100)))]])
    learned = [
        y for row in TokenDataset(split, 64, reading=MarkReading(MARKS, learns_bad=False)).ordered() for _, y in pairs(row)
    ]
    assert learned == [END, *range(3000, 3100), END]


def test_text_without_marks_is_good() -> None:
    tokens = np.array([5, 6, END, BAD, 7, END, 8, 9])
    assert MARKS.find_bad(tokens, np.array([0, 3, 6])).tolist() == [False] * 3 + [True, True] + [False] * 3


def test_a_manifest_names_its_marks() -> None:
    assert Marks.of({"splits": {}}) is None
    entry = {"good": 1, "bad": 2, "good_passages": 6, "bad_passages": 4}
    manifest = {"marks": entry, "eos_token_id": 0, "splits": {"train": {"tokens": 80}, "validation": {"tokens": 20}}}
    assert Marks.of(manifest) == Marks(1, 2, 0, share=0.1)
