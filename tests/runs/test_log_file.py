from pathlib import Path

import pytest

from lmcraft.runs.log_file import CHUNK_BYTES, LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def test_only_what_was_added_is_read_and_an_unfinished_line_waits(path: Path) -> None:
    path.write_bytes(b"one\ntwo\nthr")
    log = LogFile(path)
    assert log.read() == (False, [b"one", b"two"])
    assert not log.has_changed()
    with path.open("ab") as file:
        file.write(b"ee\nfour\n")
    assert log.has_changed()
    assert log.read() == (False, [b"three", b"four"])
    assert log.read() == (False, [])


def test_a_replaced_file_is_read_from_its_beginning(path: Path, tmp_path: Path) -> None:
    path.write_bytes(b"one\ntwo\n")
    log = LogFile(path)
    log.read()
    new = tmp_path / "new"
    new.write_bytes(b"one\n")
    new.replace(path)
    assert log.is_replaced() and log.has_changed()
    assert log.read() == (True, [b"one"])


@pytest.mark.parametrize("contents", [b"one\n", b"ONE\nTWO\nTHREE\nFOUR\n"], ids=["shorter", "longer"])
def test_a_file_that_was_rewritten_in_its_place_is_noticed(path: Path, contents: bytes) -> None:
    path.write_bytes(b"one\ntwo\n")
    log = LogFile(path)
    log.read()
    path.write_bytes(contents)
    assert log.is_replaced()
    assert log.read() == (True, contents.split())


def test_a_removed_file_counts_as_replaced_once(path: Path) -> None:
    path.write_bytes(b"one\n")
    log = LogFile(path)
    log.read()
    path.unlink()
    assert log.has_changed()
    assert log.read() == (True, [])
    assert log.read() == (False, []) and not log.has_changed()


def test_a_long_file_comes_in_parts_and_a_line_without_end_is_left_out(path: Path) -> None:
    path.write_bytes(b"a\n" + b"x" * (2 * CHUNK_BYTES + 10) + b"\nb\n")
    log = LogFile(path)
    lines: list[bytes] = []
    while True:
        _, part = log.read()
        lines += part
        if not log.has_more:
            break
    assert lines == [b"a", b"b"]


def test_links_and_pipes_are_not_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret\n")
    path.symlink_to(tmp_path / "secret")
    assert LogFile(path).read() == (False, [])
    path.unlink()
    import os

    os.mkfifo(path)
    assert LogFile(path).read() == (False, [])
