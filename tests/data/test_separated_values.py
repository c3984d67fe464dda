"""CSV files as people have them: lines, delimiters, quotes."""

import io
from typing import Any

import pytest

from lmcraft.data.documents import ReadStats
from lmcraft.data.missing import MissingCell
from lmcraft.data.separated_values import read_headless, read_separated
from lmcraft.errors import UserError


def read(text: str, delimiter: str = ",") -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
    """The rows, and the line and reason of each malformed row."""
    stats = ReadStats()
    rows = list(read_separated(io.StringIO(text, newline=""), "x.csv", stats, delimiter))
    return rows, [(problem["line"], problem["reason"]) for problem in stats.malformed_first]


A, B = {"text": "a", "label": "1"}, {"text": "b", "label": "2"}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("text,label\na,1\nb,2\n", [2, 3]),
        ("text,label\r\na,1\r\nb,2\r\n", [2, 3]),
        ("text,label\ra,1\rb,2\r", [2, 3]),
        ("text;label\na;1\nb;2\n", [2, 3]),
        ("text\tlabel\na\t1\nb\t2\n", [2, 3]),
        ("text|label\na|1\nb|2\n", [2, 3]),
        ("sep=;\ntext;label\na;1\nb;2\n", [3, 4]),
        ('"text","label"\n"a","1"\n"b","2"\n', [2, 3]),
        (" text , label\na,1\nb,2\n", [2, 3]),
        ("text,label,\na,1,\nb,2,\n", [2, 3]),
        ("text,label\na,1,,\nb,2\n", [2, 3]),
        ("\ntext,label\n\na,1\n,\n  \nb,2\n,,,\n", [4, 7]),
    ],
)
def test_rows_of_every_dialect(text: str, lines: list[int]) -> None:
    assert read(text) == (list(zip(lines, (A, B), strict=True)), [])


def test_cells_with_line_breaks_do_not_shift_the_lines() -> None:
    rows, problems = read('text,label\n"a\nb\n\nc",1\nx\n"d\ne",2\nf,3,4\n')
    assert [(line, row["text"]) for line, row in rows] == [(2, "a\nb\n\nc"), (7, "d\ne")]
    assert [line for line, _ in problems] == [6, 9]


def test_a_cell_can_be_long() -> None:
    rows, problems = read(f"text,label\n{'word ' * 60_000},1\n")
    assert len(rows[0][1]["text"]) == 300_000 and not problems


def test_cells_that_spell_a_missing_value_keep_their_spelling() -> None:
    rows, _ = read("text,label\nnan,NaN\nNULL,<NA>\nNone,null\n")
    missing = [[MissingCell("nan"), MissingCell("NaN")], [MissingCell("NULL"), MissingCell("<NA>")]]
    assert [list(row.values()) for _, row in rows] == [*missing, ["None", "null"]]


def test_an_unclosed_quote_is_named_where_it_opens() -> None:
    rows, [(line, reason)] = read('text,label\na,1\n"b,2\n' + "c,3\n" * 40_000)
    assert len(rows) == 1 and line == 3 and "never closed" in reason and "lines 3 to 40003" in reason


def test_text_after_a_quote_names_all_lines_of_the_row() -> None:
    rows, [(line, reason)] = read('text,label\n"b,2\nc,3\n"d",4\ne,5\n')
    assert [row["text"] for _, row in rows] == ["e"] and line == 2 and "lines 2 to 4 are one row" in reason


def test_uneven_rows_name_both_numbers() -> None:
    _, problems = read("text,label\na,b,1\nc\n")
    assert problems == [
        (2, "it has 3 columns, and the header has 2; put cells that contain ',' in quotes"),
        (3, "it has 1 columns, and the header has 2"),
    ]


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(UserError, match=r"x.csv:1 names the column 'label' 2 times"):
        read("text,label,label\na,1,2\n")


def read_rows(text: str, delimiter: str) -> tuple[list[tuple[int, Any]], list[str]]:
    stats = ReadStats()
    rows = list(read_headless(io.StringIO(text, newline=""), "x", stats, ["a", "b"], delimiter))
    return rows, [problem["reason"] for problem in stats.malformed_first]


def test_a_file_without_a_header_has_rows_from_its_first_line() -> None:
    text = "\n泥菩萨过江\t自身难保\n'a'\t\"b\nalone\n\t\n1\t2\t3\n"
    rows, problems = read_rows(text, "\t")
    assert rows == [
        (2, {"a": "泥菩萨过江", "b": "自身难保"}),
        (3, {"a": "'a'", "b": '"b'}),
        (4, {"a": "alone"}),
    ]
    assert problems == ["it has 3 columns, and columns = ... names 2"]


def test_two_names_of_columns_must_differ() -> None:
    with pytest.raises(UserError, match=r"x: columns = ... names 'a' 2 times"):
        list(read_headless(io.StringIO("1\t2"), "x", ReadStats(), ["a", "a"], "\t"))


def test_quotes_hold_commas_in_a_csv_file_without_a_header() -> None:
    assert read_rows('"x,y",1\n', ",") == ([(1, {"a": "x,y", "b": "1"})], [])
    assert read_rows('"x,y', ",")[1] == [
        "a quote is opened and never closed, so that the rest of the file is one row (lines 1 to 1)"
    ]
