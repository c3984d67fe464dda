"""The files of a prompt log: rotation, cut lines, removal by several processes at once."""

import json
import stat
import threading
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.server.privacy import prompt_files
from lmcraft.server.privacy.prompt_files import append_lines, open_log, read_entries, remove_entries, time_of


def line(key: str, number: int = 0) -> bytes:
    return json.dumps({"key": key, "number": number}).encode() + b"\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "prompts.jsonl"


def test_full_files_become_old_ones_and_the_oldest_goes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_files, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(prompt_files, "MAX_OLD_FILES", 2)
    for number in range(30):
        append_lines(path, [line("ada", number)])
    numbers = [entry["number"] for entry in read_entries(path)]
    assert numbers == list(range(numbers[0], 30))
    assert numbers[0] > 0
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["prompts.jsonl", "prompts.jsonl.1", "prompts.jsonl.2"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert remove_entries(path, lambda entry: entry["number"] < 29) == len(numbers) - 1
    assert [entry["number"] for entry in read_entries(path)] == [29]
    assert [file.name for file in path.parent.iterdir()] == ["prompts.jsonl"]


def test_a_line_that_was_cut_ends_there(path: Path) -> None:
    path.write_bytes(line("ada") + b'{"key": "ben", "te')
    append_lines(path, [line("cy")])
    assert [entry["key"] for entry in read_entries(path)] == ["ada", "cy"]
    assert remove_entries(path, lambda entry: entry["key"] == "ada") == 1
    assert path.read_bytes() == line("cy")


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\n", b"[1]\n", b"null\n", b'{"key": \n'], ids=repr)
def test_what_is_no_entry_is_left_out(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    append_lines(path, [line("ada")])
    assert [entry["key"] for entry in read_entries(path)] == ["ada"]


def test_nothing_is_lost_while_entries_are_removed(path: Path) -> None:
    append_lines(path, [line("ben", n) for n in range(100)])
    thread = threading.Thread(target=lambda: [append_lines(path, [line("ada", n)]) for n in range(100)])
    thread.start()
    while thread.is_alive():
        remove_entries(path, lambda entry: entry["key"] == "ben")
    thread.join()
    assert [entry["number"] for entry in read_entries(path)] == list(range(100))


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    open_log(tmp_path / "prompts.jsonl")
    open_log(tmp_path / "prompts.jsonl")
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    for path, message in (
        (notes, "holds something else"),
        (Path("/dev/null"), "is no file"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "prompts.jsonl", "No such file or directory"),
        (Path("/proc/prompts.jsonl"), "cannot be written"),
    ):
        with pytest.raises(UserError, match=message):
            open_log(path)
    assert notes.read_text() == "mine"


def test_an_entry_without_a_time_is_the_oldest() -> None:
    assert time_of({"time": "1970-01-02T00:00:00.000Z"}) == 86400.0
    assert time_of({}) == time_of({"time": "yesterday"}) == 0.0
