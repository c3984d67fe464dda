"""Readers of file formats."""

import io
import json
from pathlib import Path

import pytest

from lmcraft.data.documents import ReadStats
from lmcraft.data.formats import (
    ReadTable,
    has_rows,
    inner_suffix,
    json_lines,
    json_values,
    parquet_rows,
    read_parquet,
    read_texts,
    separated_values,
)
from lmcraft.data.source_files import check_file
from lmcraft.data.sources import TextSources
from lmcraft.errors import UserError


def test_json_lines_skip_blank_lines_and_count_malformed_ones() -> None:
    stats = ReadStats()
    rows = list(json_lines(io.BytesIO(b'\xef\xbb\xbf{"a": 1}\n\n{broken\n[2]\n'), "x.jsonl", stats))
    assert rows == [(1, {"a": 1}), (4, [2])]
    assert [(row["file"], row["line"]) for row in stats.malformed_first] == [("x.jsonl", 3)]


def test_a_json_file_is_a_list_of_rows_or_one_row() -> None:
    assert list(json_values(io.BytesIO(b"[1, 2]"), "x", ReadStats())) == [(1, 1), (1, 2)]
    assert list(json_values(io.BytesIO(b'{"a": 1}'), "x", ReadStats())) == [(1, {"a": 1})]


LINES = b'{"a": 1}\n\n{"a": 2}\n'


@pytest.mark.parametrize(
    "contents",
    [
        LINES,
        b"\xef\xbb\xbf" + LINES,
        LINES.replace(b"\n", b"\r\n"),
        b' [\n {"a": 1},\n {"a": 2}]',
        b'{"version": 1, "data": [{"a": 1}, {"a": 2}]}',
    ],
)
def test_a_json_file_can_hold_json_lines_or_a_list_in_an_object(contents: bytes) -> None:
    stats = ReadStats("fail")
    assert [row for _, row in json_values(io.BytesIO(contents), "x.json", stats)] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("contents", "line"), [(b'[{"a": 1},\n{"a" 2}]', 2), (b'{"a": 1}\n{"a": 2}\n{oops', 3), (b"\xff", 1)]
)
def test_damaged_json_is_named_by_its_line(contents: bytes, line: int) -> None:
    stats = ReadStats()
    list(json_values(io.BytesIO(contents), "x.json", stats))
    assert [row["line"] for row in stats.malformed_first] == [line]


@pytest.mark.parametrize("depth", [300, 3000])
@pytest.mark.parametrize("form", ['{"a": 1}\n{"a": %s}\n', '[{"a": "[[[["},\n{"a":\n%s}]', '{\n"a":\n%s}', "\n%s"])
def test_rows_that_are_nested_too_deeply_are_named_by_line(form: str, depth: int) -> None:
    stats = ReadStats()
    contents = form % ("[" * depth + "]" * depth)
    list(json_values(io.BytesIO(contents.encode()), "x.json", stats))
    [row] = stats.malformed_first
    assert row["reason"] == "nested more than 200 levels deep" and contents.splitlines()[row["line"] - 1]


def test_dots_name_fields_of_nested_objects(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {"doc": {"text": "one", "tags": ["x"]}, "n": 1},
        {"doc": None, "n": 2},
        {"doc": {"text": None, "tags": None}, "n": 3},
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    stats = ReadStats()
    with (tmp_path / "x.parquet").open("rb") as file:
        assert list(read_parquet(file, "x.parquet", "doc.text", stats)) == [(1, "one")]
    assert [row["line"] for row in stats.malformed_first] == [2, 3]
    with pytest.raises(UserError, match=r"'doc': set .* doc.text, doc.tags, n"):
        check_file(tmp_path / "x.parquet", column="doc")
    texts = read_texts(json_values, io.BytesIO(b'{"doc": {"text": "one"}}'), "x.json", "doc.text", ReadStats("fail"))
    assert list(texts) == [(1, "one")]


def test_bytes_in_parquet_are_texts_if_they_are_utf_8(tmp_path: Path) -> None:
    pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = ["café".encode(), b"caf\xe9", None, b"", "天".encode()]
    nested = [[{"role": "user", "content": text}] for text in texts]
    columns = {"text": pa.array(texts, pa.binary()), "wide": pa.array(texts, pa.large_binary()), "nested": nested}
    columns |= {"stated": pa.array(texts, pa.binary()).view(pa.string()), "again": pa.array(texts).dictionary_encode()}
    parquet.write_table(
        pa.table({name: columns[name] for name in ("text", "wide", "nested", "again")}), tmp_path / "x.parquet"
    )
    parquet.write_table(pa.table({"stated": columns["stated"]}), tmp_path / "y.parquet")
    invalid = "is bytes that are not UTF-8 (byte 4 is 0xe9), not text"
    for name in ("text", "wide", "again", "stated"):
        stats, file = ReadStats(), "y.parquet" if name == "stated" else "x.parquet"
        with (tmp_path / file).open("rb") as contents:
            assert list(read_parquet(contents, file, name, stats)) == [(1, "café"), (5, "天")], name
        reasons = {row["line"]: row["reason"] for row in stats.malformed_first}
        assert reasons.keys() == {2, 3, 4}
        assert reasons[2] == (
            "it holds bytes that are not UTF-8 (byte 4 is 0xe9)" if name == "stated" else f"the field '{name}' {invalid}"
        )
    with (tmp_path / "x.parquet").open("rb") as contents:
        rows = [row for _, row in parquet_rows(contents, "x.parquet", ReadStats())]
    assert [row["text"] for row in rows] == ["café", b"caf\xe9", None, "", "天"]
    assert rows[4]["nested"] == [{"role": "user", "content": "天"}]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (5, "the number 5, not text"),
        (2.5, "the number 2.5, not text"),
        (True, "true or false, not text"),
        ([], "a list, not text"),
        ({"a": 1}, "an object, not text"),
        (None, "empty"),
        (" ", "empty"),
    ],
)
def test_a_value_that_is_not_text_is_named(value: object, kind: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps({"text": value}) + "\n" + json.dumps(value if value != {"a": 1} else 0))
    with pytest.raises(UserError, match=rf"x.jsonl:1: the field 'text' is {kind}\): .* with --text-field") as raised:
        list(TextSources([str(tmp_path / "x.jsonl")]).read_nonempty(ReadStats()))
    assert "text_field" not in str(raised.value)


def test_parquet_rows_do_not_have_the_fields_of_other_rows(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [{"call": {"city": "Rome"}, "text": "a"}, {"call": {"width": 1}, "text": None}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        assert [row for _, row in parquet_rows(file, "x.parquet", ReadStats())] == rows


def test_csv_rows_are_dicts_and_uneven_rows_are_malformed() -> None:
    stats = ReadStats()
    rows = list(separated_values(io.BytesIO(b'q,a\n"1,5",x\nonly one\n2,y\n'), "x.csv", stats))
    assert rows == [(2, {"q": "1,5", "a": "x"}), (4, {"q": "2", "a": "y"})]
    assert stats.malformed_first[0]["reason"] == "it has 1 columns, and the header has 2"


def test_the_suffix_below_the_compression_is_the_format() -> None:
    assert inner_suffix(Path("a/b.JSONL.gz")) == ".jsonl" and inner_suffix(Path("b.txt")) == ".txt"
    assert has_rows(Path("x.parquet")) and has_rows(Path("x.csv")) and not has_rows(Path("x.html"))


@pytest.mark.parametrize("read", [json_values, json_lines])
@pytest.mark.parametrize(
    ("contents", "lines"),
    [
        (b'[\n{"a": 1},\n\n{"a": "]\\n,"},{"a": 3}\n]', [2, 4, 4]),
        (b'\xef\xbb\xbf\n{\n "a": 1\n}\n{\n "a": 2\n}\n', [2, 5]),
        (b'{\n"data": [],\n"x": {"data": [1]},\n"data": [\n {"a": 1},\n {\n"a": 2}]}', [5, 6]),
        (b"[ ]", []),
    ],
)
def test_rows_of_json_come_with_the_line_where_they_begin(read: ReadTable, contents: bytes, lines: list[int]) -> None:
    assert [line for line, _ in read(io.BytesIO(contents), "x", ReadStats())] == lines


@pytest.mark.parametrize("metadata", [True, False])
def test_class_labels_have_their_names(metadata: bool, tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pyarrow.Table.from_pylist([{"text": str(n), "label": n} for n in (0, 1, -1, 7)])
    if metadata:
        features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["bad", "good"]}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        labels = [row["label"] for _, row in parquet_rows(file, "x.parquet", ReadStats())]
    assert labels == (["bad", "good", None, None] if metadata else [0, 1, -1, 7])
