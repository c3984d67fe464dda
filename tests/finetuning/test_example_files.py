"""Files of examples, and the rows that cannot be used."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.example_files import RowStats, read_examples
from lmcraft.finetuning.examples import Conversation, Example, Labeled
from lmcraft.finetuning.rows import RowFormat
from tests.finetuning.chat import message, write_rows

QUESTION, ANSWER = message("user", "Hi"), message("assistant", "Hello")
CHAT = {"messages": [QUESTION, ANSWER]}


def tables(folder: Path) -> dict[str, Path]:
    """The same two rows in every kind of file."""
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"prompt": "Hi, 你好", "completion": 'a "b"\nc'}, {"prompt": "2", "completion": "d"}]
    files = {kind: folder / f"data.{kind}" for kind in ("jsonl", "json", "csv", "tsv", "parquet")}
    write_rows(files["jsonl"], rows)
    files["json"].write_text(json.dumps(rows), encoding="utf-8")
    for kind, delimiter in (("csv", ","), ("tsv", "\t")):
        with files[kind].open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["prompt", "completion"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows), files["parquet"])
    return files


def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path) -> None:
    files = tables(tmp_path)
    first = (message("user", "Hi, 你好"), message("assistant", 'a "b"\nc'))
    expected: list[Example] = [Conversation(first), Conversation((message("user", "2"), message("assistant", "d")))]
    assert {kind: read_examples([file]) for kind, file in files.items()} == dict.fromkeys(files, expected)
    assert read_examples(list(files.values())) == expected * len(files)


def test_bytes_in_parquet_are_texts_if_they_are_utf_8(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    questions, file = [b"Hi", b"H\xff", b"Hi"], tmp_path / "data.parquet"
    table = pyarrow.table({"prompt": questions, "completion": [b"Hello"] * 3, "thumbnail": [b"\xff\xd8"] * 3})
    parquet.write_table(table, file)
    stats = RowStats()
    assert read_examples([file], stats=stats) == [Conversation((QUESTION, ANSWER))] * 2
    [(reason, origins)] = stats.reasons.items()
    assert origins == [f"{file}:2"]
    assert reason == "its prompt is bytes that are not UTF-8 (byte 2 is 0xff), not text: write it as text"


def test_nested_rows_are_read_from_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([CHAT]), tmp_path / "data.parquet")
    assert read_examples([tmp_path / "data.parquet"]) == [Conversation((QUESTION, ANSWER))]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question": "a", "reply": "b"}], r"data.jsonl:1 .*\(question, reply\) match no known format"),
        (["text"], "data.jsonl:1 .*named fields"),
        ([{"messages": [{"content": "a"}]}], "data.jsonl:1 .*message 1 has no role"),
        ([{"messages": "Hi"}], "data.jsonl:1 .*not a list of messages"),
        ([{"chosen": "a", "rejected": "b"}], "data.jsonl:1 .*no prompt"),
        ([{"chosen": [QUESTION, ANSWER], "rejected": [message("user", "Ho"), ANSWER]}], "differ before their last"),
        ([CHAT, {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}], r"several kinds \(conversations, preferences\)"),
        ([], "has no rows"),
    ],
)
def test_unusable_rows_are_named_in_the_error(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_examples([write_rows(tmp_path / "data.jsonl", rows)])


def test_files_without_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_examples([tmp_path / "none.jsonl"])
    with pytest.raises(UserError, match="is a folder; name its files"):
        read_examples([tmp_path])
    (tmp_path / "data.txt").write_text("text")
    with pytest.raises(UserError, match="jsonl"):
        read_examples([tmp_path / "data.txt"])
    (tmp_path / "data.jsonl").write_text('{"prompt": "a"')
    with pytest.raises(UserError, match=r"data.jsonl:1"):
        read_examples([tmp_path / "data.jsonl"])


EMPTY = {"messages": [QUESTION, message("assistant", "")]}
NULL = {"messages": [message("user", ""), ANSWER]}


def test_rows_that_cannot_be_used_are_counted_by_reason(tmp_path: Path) -> None:
    file = write_rows(tmp_path / "data.jsonl", [CHAT, EMPTY, NULL, EMPTY, CHAT, EMPTY, EMPTY])
    with file.open("a") as handle:
        handle.write("{oops\n")
    stats = RowStats()
    examples = read_examples([file], stats=stats)
    assert [example.origin for example in examples] == [f"{file}:1", f"{file}:5"]
    assert (stats.rows, stats.rejected) == (8, 6)
    with pytest.raises(
        UserError, match=r"6 of 8 rows cannot be used: .*data.jsonl:2, .*:4, .*:6 and 1 more \(its answer is empty"
    ):
        stats.check("fail")
    with pytest.raises(UserError, match=r"data.jsonl:3 \(its message 1 .*data.jsonl:8 \(not valid JSON.*--malformed skip$"):
        stats.check("fail")
    stats.check("skip")


def test_one_row_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.jsonl:2 cannot be used: its answer is empty .*--malformed skip$"):
        read_examples([write_rows(tmp_path / "data.jsonl", [CHAT, EMPTY])])


def test_a_file_without_any_usable_row_has_no_rows_to_skip(tmp_path: Path) -> None:
    stats = RowStats()
    with pytest.raises(
        UserError, match=r"all 2 rows cannot be used: .*data.jsonl:1, .*data.jsonl:2 \(its answer is empty.*\)$"
    ):
        read_examples([write_rows(tmp_path / "data.jsonl", [EMPTY, EMPTY])], stats=stats)


def test_columns_that_hold_something_but_are_not_used_are_counted(tmp_path: Path) -> None:
    rows = [{"question": "a", "answer": "b", "id": 1, "note": None}, {"question": "a", "answer": "b", "note": "x"}]
    stats = RowStats()
    read_examples([write_rows(tmp_path / "data.jsonl", rows)], stats=stats)
    assert dict(stats.unread_columns) == {"id": 1, "note": 1}


@pytest.mark.parametrize(
    "contents",
    [
        "text,label\nbuy,1.0\n,2\nsell,\n",
        "Text;Label\nbuy;1.0\n;2\nsell;\n",
        '\ufefftext, label\n"buy",1.0\n"",2\n"sell", \n',
    ],
)
def test_blank_cells_are_neither_texts_nor_labels(tmp_path: Path, contents: str) -> None:
    (tmp_path / "data.csv").write_text(contents, encoding="utf-8")
    stats = RowStats()
    assert read_examples([tmp_path / "data.csv"], stats=stats) == [Labeled("buy", ("1",))]
    reasons = {reason: [origin.rpartition(":")[2] for origin in origins] for reason, origins in stats.reasons.items()}
    assert [(reason[:9], lines) for reason, lines in reasons.items()] == [("its text ", ["3"]), ("its label", ["4"])]


def test_a_table_with_empty_cells_keeps_whole_numbers(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.table({"text": ["a", "b", None, "d"], "label": pyarrow.array([1.0, 2.0, 1.0, float("nan")])})
    parquet.write_table(table, tmp_path / "data.parquet")
    stats = RowStats()
    assert read_examples([tmp_path / "data.parquet"], stats=stats) == [Labeled("a", ("1",)), Labeled("b", ("2",))]
    assert stats.rejected == 2


@pytest.mark.parametrize("name", ["data.json", "data.jsonl"])
@pytest.mark.parametrize("form", ["lines", "list", "indented list"])
def test_lists_and_lines_are_read_under_both_names(tmp_path: Path, name: str, form: str) -> None:
    rows = [CHAT, CHAT]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    text = {"lines": lines, "list": json.dumps(rows), "indented list": json.dumps(rows, indent=1)}[form]
    (tmp_path / name).write_text(text)
    assert read_examples([tmp_path / name]) == [Conversation((QUESTION, ANSWER))] * 2


def test_nested_columns_are_named(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist([{"doc": {"q": "Hi", "a": "Hello"}}]), tmp_path / "data.parquet")
    form = RowFormat(Conversation, prompt_column="doc.q", answer_column="doc.a")
    assert read_examples([tmp_path / "data.parquet"], form=form) == [Conversation((QUESTION, ANSWER))]


def test_a_deeply_nested_row_is_named(tmp_path: Path) -> None:
    deep = '{"messages": ' + "[" * 900 + "]" * 900 + "}\n"
    (tmp_path / "data.jsonl").write_text(deep)
    with pytest.raises(UserError, match=r"data.jsonl:1 cannot be used: "):
        read_examples([tmp_path / "data.jsonl"])
