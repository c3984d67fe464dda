import os
from pathlib import Path
from typing import Any

import pytest

from lmcraft.runs.small_files import MAX_SMALL_BYTES, integer, number, plain_table, read_object, read_small, read_tail, text


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * MAX_SMALL_BYTES)
    assert len(read_small(file)) == MAX_SMALL_BYTES and read_tail(file, 3) == b"xxx"
    file.write_bytes(b"x" * (MAX_SMALL_BYTES + 1))
    assert read_small(file) == b""
    (tmp_path / "link").symlink_to(file)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "nothing", "."):
        assert read_small(tmp_path / name) == b"" and read_tail(tmp_path / name, 3) == b""


@pytest.mark.parametrize("contents", [b"", b"[1]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_an_empty_one(tmp_path: Path, contents: bytes) -> None:
    (tmp_path / "file").write_bytes(contents)
    assert read_object(tmp_path / "file") == {}


@pytest.mark.parametrize("value", [True, "1", None, [], float("nan"), float("inf"), 10**400], ids=range(7))
def test_what_is_no_number_is_none(value: Any) -> None:
    assert number(value) is None and integer(value) is None


def test_texts_are_short_and_have_no_lone_surrogates() -> None:
    assert text("é\ud800") == "é?" and text(5) == "" and len(text("x" * 10_000)) == 2000
    assert plain_table({"a": 1, "b": "x", "c": [], "d": True}) == {"a": 1.0, "b": "x", "c": None, "d": None}
    assert plain_table([]) is None
    assert type((plain_table({"year": 2023}) or {})["year"]) is int
