"""Readers of file formats."""

import io
from pathlib import Path

from lmcraft.data.documents import ReadStats
from lmcraft.data.formats import has_rows, inner_suffix, json_lines, json_values, separated_values


def test_json_lines_skip_blank_lines_and_count_malformed_ones() -> None:
    stats = ReadStats()
    rows = list(json_lines(io.BytesIO(b'\xef\xbb\xbf{"a": 1}\n\n{broken\n[2]\n'), "x.jsonl", stats))
    assert rows == [(1, {"a": 1}), (4, [2])]
    assert [(row["file"], row["line"]) for row in stats.malformed_first] == [("x.jsonl", 3)]


def test_a_json_file_is_a_list_of_rows_or_one_row() -> None:
    assert list(json_values(io.BytesIO(b"[1, 2]"), "x", ReadStats())) == [(1, 1), (2, 2)]
    assert list(json_values(io.BytesIO(b'{"a": 1}'), "x", ReadStats())) == [(1, {"a": 1})]


def test_csv_rows_are_dicts_and_uneven_rows_are_malformed() -> None:
    stats = ReadStats()
    rows = list(separated_values(io.BytesIO(b'q,a\n"1,5",x\nonly one\n2,y\n'), "x.csv", stats))
    assert rows == [(2, {"q": "1,5", "a": "x"}), (4, {"q": "2", "a": "y"})]
    assert stats.malformed_first[0]["reason"] == "it has more or fewer columns than the header"


def test_the_suffix_below_the_compression_is_the_format() -> None:
    assert inner_suffix(Path("a/b.JSONL.gz")) == ".jsonl" and inner_suffix(Path("b.txt")) == ".txt"
    assert has_rows(Path("x.parquet")) and not has_rows(Path("x.csv"))
