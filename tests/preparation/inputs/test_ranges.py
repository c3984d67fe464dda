"""Whatever ranges a file is cut into, they give its documents, each once."""

import json
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmcraft.preparation.contracts import Portion, Record, Tally
from lmcraft.preparation.inputs import ranges
from lmcraft.preparation.inputs.ranges import END
from lmcraft.preparation.inputs.survey import survey
from tests.preparation.inputs.reading import read_one, source_of

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
