"""Whatever ranges a file is cut into, they give its documents, each once."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lmcraft.preparation.contracts import Portion, Record, Tally
from lmcraft.preparation.inputs import ranges
from lmcraft.preparation.inputs.ranges import END
from lmcraft.preparation.inputs.survey import survey
from tests.preparation.inputs.reading import read_all, read_one, record_of, source_of

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
CUTS = st.lists(st.integers(1, 400), max_size=8)
quickly = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "TEXT_BLOCK_BYTES", 64)
    monkeypatch.setattr(ranges, "BORDER_BYTES", 16)


def read_cut(name: str, contents: bytes, cuts: list[int]) -> tuple[list[Record], list[Record]]:
    """The records of a file read as a whole, and of its parts."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(contents)
        source = source_of([path])
        files = survey([source], Path(folder) / "work").files
        whole = read_one(files, Portion(0, 0, END), source, Tally())
        borders = [0, *sorted(set(cuts)), END]
        parts = [read_one(files, Portion(0, start, end, line=0), source, Tally()) for start, end in pairwise(borders)]
        return whole, [record for part in parts for record in part]


def check_same(whole: list[Record], parts: list[Record]) -> None:
    assert [(record.id, record.text) for record in parts] == [(record.id, record.text) for record in whole]


@quickly
@given(st.lists(st.one_of(TEXT.map(lambda text: json.dumps({"text": text})), TEXT)), CUTS, st.sampled_from(["\n", "\r\n"]))
def test_json_lines(lines: list[str], cuts: list[int], end: str) -> None:
    contents = ('{"text": "first"}\n' + end.join(lines)).encode()
    check_same(*read_cut("a.jsonl", contents, cuts))


@quickly
@given(st.lists(st.sampled_from(["a", "天", "\n", "\r\n", "\n\n", "é", " ", "word "]), min_size=1, max_size=300), CUTS)
def test_text(parts: list[str], cuts: list[int]) -> None:
    text = "start" + "".join(parts)
    whole, cut = read_cut("a.txt", text.encode(), cuts)
    check_same(whole, cut)
    assert "".join(record.text for record in whole if record.text.strip()).replace("\n", "").replace("\r", "").replace(
        " ", ""
    ) == (text.replace("\n", "").replace("\r", "").replace(" ", ""))


def test_a_line_longer_than_the_limit_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ranges, "MAX_LINE_BYTES", 100)
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n{"text": "' + "x" * 200 + '"}\n{"text": "two"}\n')
    source = source_of([path])
    tally = Tally()
    records = read_one(survey([source], tmp_path / "work").files, Portion(0, 0, END), source, tally)
    assert [(record.text, record.line) for record in records] == [("one", 1), ("two", 3)]
    assert tally.counts == {"malformed/longer than N MB": 1}


@quickly
@given(
    st.lists(st.tuples(st.sampled_from(["a", 'b"', "c\nd", "e,f", "", "g\r\nh", '"', "天\n\n"]), TEXT), max_size=20),
    st.integers(1, 200),
    st.sampled_from(["\n", "\r\n"]),
)
def test_separated_values(rows: list[tuple[str, str]], unit_bytes: int, end: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=end)
    writer.writerows([("id", "text"), *rows, ("last", "row")])
    check_units("a.csv", out.getvalue().encode(), unit_bytes)


@quickly
@given(
    st.lists(st.sampled_from(['"', "a", ",", "\n", "b,c\n", '"x\ny",z\n', "\r\n", "\r"]), max_size=60), st.integers(1, 60)
)
def test_separated_values_with_stray_quotes(parts: list[str], unit_bytes: int) -> None:
    check_units("a.csv", ("text,b\nfirst,1\n" + "".join(parts)).encode(), unit_bytes)


@quickly
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=40), st.integers(1, 10), CUTS)
def test_parquet(values: list[str], group: int, cuts: list[int]) -> None:
    table = pa.table({"text": ["first", *values], "other": list(range(len(values) + 1))})
    out = io.BytesIO()
    parquet.write_table(table, out, row_group_size=group)
    check_same(*read_cut("a.parquet", out.getvalue(), [cut % 40 + 1 for cut in cuts]))
    check_units("a.parquet", out.getvalue(), group)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_web_archives(compress: Callable[[bytes], bytes]) -> None:
    contents = b"".join(
        compress(record_of(f"<p>Page {number}, long enough to be kept as text.</p>")) for number in range(20)
    )
    name = "a.warc" if compress is bytes else "a.warc.gz"
    for unit_bytes in (1, 700, 2000):
        check_units(name, contents, unit_bytes)
    with TemporaryDirectory() as folder:
        (path := Path(folder) / name).write_bytes(contents)
        _, _, units = read_all([path], Path(folder) / "work", unit_bytes=700)
        assert len(units) > 3


def check_units(name: str, contents: bytes, unit_bytes: int) -> None:
    """Cut a file into units, and compare with the whole: texts, positions, lines and what is malformed."""
    with TemporaryDirectory() as folder:
        (path := Path(folder) / name).write_bytes(contents)
        whole, counted, _ = read_all([path], Path(folder) / "work")
        parts, counted_parts, _ = read_all([path], Path(folder) / "work", unit_bytes=unit_bytes)
        assert parts == whole
        assert counted_parts == counted


def test_lines_are_numbered_in_any_unit(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"line {number}"}) for number in range(1, 200)]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    (tmp_path / "b.txt").write_text("\n".join(f"line {number}" for number in range(1, 200)))
    for name in ("a.jsonl", "b.txt"):
        records, _, units = read_all([tmp_path / name], tmp_path / "work", unit_bytes=300)
        assert len(units) > 5
        assert all(record.text.startswith(f"line {record.line}") for record in records if record.text.startswith("line"))
