"""Token shards: boundaries, dtypes, both kinds of split, and atomic folders."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lmcraft.data import Document, ReadStats, TokenDataset, TokenSplit, write_dataset
from lmcraft.data.shards import SpellingCounter
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder

END = 255


def code_points(texts: Sequence[str]) -> list[list[int]]:
    return [[ord(character) for character in text] for text in texts]


@dataclass
class CodePoints:
    """A tokenizer whose token ids are code points."""

    vocab_size: int = 256
    eos_token_id: int | None = END
    special_tokens: Mapping[str, int] = field(default_factory=dict)

    def encode_arrays(self, texts: Sequence[str]) -> list[NDArray[np.uint32]]:
        return [np.array(ids, np.uint32) for ids in code_points(texts)]

    def count_lost_bytes(self, text: str, ids: NDArray[np.uint32]) -> int:
        return 0

    def decode_bytes(self, ids: Sequence[int]) -> bytes:
        return "".join(chr(token) for token in ids if token != self.eos_token_id).encode()

    def save(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{}")


def write(
    out: Path, texts: Sequence[str], vocab_size: int = 256, eos_token_id: int | None = END, **settings: Any
) -> DatasetFolder:
    def read(stats: ReadStats) -> Iterator[Document]:
        yield from (Document(text, "memory", number) for number, text in enumerate(texts))

    return write_dataset(out, read, CodePoints(vocab_size, eos_token_id), **({"validation": 0} | settings))


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=12), st.integers(1, 30), st.integers(1, 8))
@settings(max_examples=60, deadline=None)
def test_shards_form_one_sequence(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], shard_tokens: int, length: int
) -> None:
    out = tmp_path_factory.mktemp("shards") / "data"
    split = TokenSplit(write(out, texts, shard_tokens=shard_tokens), "train")
    expected = [token for ids in code_points(texts) for token in [*ids, END]]
    begins = [position for position in range(len(expected)) if position == 0 or expected[position - 1] == END]
    for start in range(len(expected)):
        stop = min(start + 7, len(expected))
        assert split.slice(start, stop).tolist() == expected[start:stop]
        assert split.document_starts(start, stop).tolist() == [begin for begin in begins if start <= begin < stop]
    rows = list(TokenDataset(split, length).ordered())
    targets = np.concatenate([row.targets for row in rows])
    assert targets[: len(expected) - 1].tolist() == expected[1:]
    assert set(targets[len(expected) - 1 :].tolist()) <= {-100}


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_type_follows_from_the_vocabulary(tmp_path: Path, vocab_size: int, dtype: str) -> None:
    folder = write(tmp_path / "data", [chr(vocab_size - 1)], vocab_size=vocab_size)
    assert folder.manifest()["dtype"] == dtype
    assert TokenSplit(folder, "train").slice(0, 2).tolist() == [vocab_size - 1, END]


@given(st.lists(st.text("abc", max_size=9), min_size=1, max_size=9), st.floats(0.05, 0.9))
@settings(max_examples=60, deadline=None)
def test_the_tail_is_a_share_of_all_characters(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], validation: float
) -> None:
    whole = "".join(texts)
    cut = int((1 - validation) * len(whole))
    out = tmp_path_factory.mktemp("tail") / "data"
    if not 0 < cut < len(whole):
        with pytest.raises(UserError):
            write(out, texts, split="tail", validation=validation, eos_token_id=None)
        assert not out.exists()
        return
    folder = write(out, texts, split="tail", validation=validation, eos_token_id=None)
    for name, part in (("train", whole[:cut]), ("validation", whole[cut:])):
        split = TokenSplit(folder, name)
        assert "".join(map(chr, split.slice(0, len(split)))) == part


def test_the_training_part_of_a_text_that_is_cut_gets_an_end_token(tmp_path: Path) -> None:
    texts = ["a" * 99, "b" * 99, "c" * 99]
    train, validation = (
        TokenSplit(folder, name)
        for folder in [write(tmp_path / "data", texts, validation=0.1)]
        for name in ("train", "validation")
    )
    kept = "".join(map(chr, train.slice(0, len(train)))).split(chr(END))
    held_out = "".join(map(chr, validation.slice(0, len(validation))))
    assert [set(text) for text in kept] == [{"a"}, {"b"}, {"c"}, set()]
    assert len(held_out) == 30 and held_out.endswith(chr(END))
    assert sorted("".join(kept) + held_out[:-1]) == sorted("".join(texts))


def test_the_share_of_the_hash_split(tmp_path: Path) -> None:
    splits = write(tmp_path / "data", [f"text {n}" for n in range(4000)], validation=0.1).manifest()["splits"]
    assert 300 < splits["validation"]["documents"] < 500
    assert splits["train"]["documents"] + splits["validation"]["documents"] == 4000


def test_new_documents_do_not_move_old_ones(tmp_path: Path) -> None:
    few = write(tmp_path / "few", [f"{n} " for n in range(100)], validation=0.3)
    more = write(tmp_path / "more", [f"{n} " for n in range(200)], validation=0.3)
    old, new = TokenSplit(few, "validation"), TokenSplit(more, "validation")
    assert new.slice(0, len(old)).tolist() == old.slice(0, len(old)).tolist()


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (["on"], {"validation": 0.1}, "3 tokens, which are too few"),
        ([], {"validation": 0.1}, "contain no text"),
        (["one"], {"validation": 1}, "validation 1"),
    ],
)
def test_impossible_splits_are_user_errors_and_leave_nothing(
    tmp_path: Path, texts: list[str], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        write(tmp_path / "data", texts, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_or_absent_split_is_a_user_error(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", ["some text"])
    with pytest.raises(UserError, match=r"no split 'validation'.*with --validation above 0"):
        TokenSplit(folder, "validation")
    file = folder.path / "train-00000.npy"
    np.save(file, np.zeros(3, np.uint16))
    with pytest.raises(UserError, match="has 3 tokens, not 10"):
        TokenSplit(folder, "train")
    file.write_bytes(b"short")
    with pytest.raises(UserError, match="cannot be read"):
        TokenSplit(folder, "train")


def test_shards_are_opened_when_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "data", [f"{n:03}" for n in range(50)], shard_tokens=40)
    opened = list[str]()
    load = np.load
    monkeypatch.setattr(np, "load", lambda file, **options: opened.append(file) or load(file, **options))
    split = TokenSplit(folder, "train")
    assert opened == [] and len(split) == 200
    split.slice(45, 75)
    split.slice(41, 42)
    assert opened == [str(folder.path / "train-00001.npy")]


def test_a_row_across_the_end_of_the_text_starts_a_document(tmp_path: Path) -> None:
    split = TokenSplit(write(tmp_path / "data", ["abcdefghij"], eos_token_id=None), "train")
    batches = TokenDataset(split, 4, seed=1)
    for index in range(batches.samples_per_epoch * 20):
        row = batches.sample(index)
        counted = row.targets >= 0
        jumps = np.flatnonzero(np.diff(row.input_ids[counted]) != 1) + 1
        assert np.flatnonzero(np.diff(row.document_ids[counted])).tolist() == (jumps - 1).tolist()
        assert (row.targets[counted] == row.input_ids[counted] + 1).all()


@given(st.lists(st.text("<|ab>", max_size=20), max_size=5), st.sets(st.text("<|a>", min_size=1, max_size=4), max_size=4))
def test_spellings_are_counted_like_each_token_alone(texts: list[str], special_tokens: set[str]) -> None:
    counter = SpellingCounter(special_tokens)
    for text in texts:
        counter.add(text)
    expected = {token: sum(text.count(token) for text in texts) for token in special_tokens}
    assert dict(counter.counts) == {token: count for token, count in expected.items() if count}
