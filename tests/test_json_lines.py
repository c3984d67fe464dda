"""JSON and JSON lines: every string and number comes back, whatever other readers take for the end of a line."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json, format_json_line, parse_json, parse_json_lines, read_json_lines

any_text = st.text(
    st.characters(exclude_categories=()) | st.sampled_from("\u2028\u2029\x85\x0b\x0c\x1c\x1e\ud800\udfff\ufeff\0")
)


@given(st.dictionaries(any_text, st.none() | st.integers() | any_text | st.lists(any_text)))
def test_every_row_is_one_line_for_every_reader_and_comes_back(row: dict[str, object]) -> None:
    line = format_json_line(row)
    assert line.splitlines(keepends=True) == [line]
    assert parse_json(line.encode()) == row == json.loads(line)


def test_numbers_that_are_not_finite_become_null() -> None:
    value = {"loss": float("nan"), "interval": (float("-inf"), 1.5), "nested": [{"x": float("inf")}]}
    assert json.loads(format_json(value)) == {"loss": None, "interval": [None, 1.5], "nested": [{"x": None}]}
    assert format_json({"a": 1.5}, indent=2) == '{\n  "a": 1.5\n}'


def test_only_line_feeds_end_a_line_and_bad_lines_are_reported() -> None:
    content = '\ufeff{"a": "x\u2028y\x85z"}\r\n\n \n{broken\n"\ud800"\n[1]'.encode("utf-8", "surrogatepass")
    bad: list[tuple[int, str]] = []
    rows = list(parse_json_lines(content.splitlines(keepends=True), lambda number, reason: bad.append((number, reason))))
    assert rows == [(1, {"a": "x\u2028y\x85z"}), (6, [1])]
    assert [number for number, _ in bad] == [4, 5] and bad[1][1] == "not valid UTF-8"


@pytest.mark.parametrize("cut", [b'{"step": 3, "te', b'{"step": 3, "text": "\xe4\xbd', b"[", b"\0" * 4096, b"\n \n"])
def test_a_last_line_cut_short_is_left_out(cut: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + cut)
    assert list(read_json_lines(path)) == [{"step": 1}, {"step": 2}]
    assert list(read_json_lines(tmp_path / "absent")) == []


@pytest.mark.parametrize("damaged", [b"garbage", b"\0\0\0", b'{"step": 3, "te', b"[1]", b'{"loss": 1}', b'{"step": "3"}'])
@pytest.mark.parametrize("following", [b'{"step": 4}\n', b""])
def test_a_damaged_line_is_named(damaged: bytes, following: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"step": 1}\n{"step": 2}\n' + damaged + b"\n" + following)
    with pytest.raises(UserError, match=r"^line 3 of '.*/a\.jsonl' is damaged: restore the file from a copy, or remove the"):
        list(read_json_lines(path, step=int))


@pytest.mark.parametrize("data", [b'{"a": 1} x', b"\xff", b"1" * 5000, b""])
def test_what_is_not_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="not valid"):
        parse_json(data)


@pytest.mark.parametrize("depth", [201, 900, 3000, 100_000])
@pytest.mark.parametrize(("start", "end"), [(b"[", b"]"), (b'{"a": [1, {"b": ', b"}]}")])
def test_too_many_levels_are_named(depth: int, start: bytes, end: bytes) -> None:
    with pytest.raises(ValueError, match=r"^nested more than 200 levels deep$"):
        parse_json(start * depth + b"0" + end * depth)
    assert parse_json(b"[" * 200 + b"]" * 200) and parse_json(b"[[]," * 150 + b"1" + b"]" * 150)


def test_a_number_of_too_many_digits_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"not valid JSON: the number 11111111111111111111\.\.\. has too many digits \(5,000\)$"
    ):
        parse_json(b'{"a": ' + b"1" * 5000 + b"}")
