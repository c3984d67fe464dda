"""Standard input, output and error: closed ones, byte-order marks, and bytes that are not text."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.cli import main
from lmcraft.standard_streams import prepare_standard_streams
from tests.inference.helpers import language_model

COMMAND = [sys.executable, "-m", "lmcraft"]


@pytest.mark.parametrize("closed", [0, 1, 2])
@pytest.mark.parametrize("arguments", ["--help", "generate model --temperature nan"])
def test_closed_streams_change_neither_the_status_nor_the_other_streams(closed: int, arguments: str) -> None:
    """A file that is opened never becomes standard output, and nothing is a traceback."""
    shell = ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *COMMAND, *arguments.split()]
    done, expected = (
        subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        for command in (shell, [*COMMAND, *arguments.split()])
    )
    assert done.returncode == expected.returncode
    assert done.stdout == ("" if closed == 1 else expected.stdout)
    assert done.stderr == ("" if closed == 2 else expected.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_does_not_stop_the_command(tmp_path: Path, unbuffered: str) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox " * 200)
    arguments = ["prepare", "a.txt", "--out", "data", "--tokenizer-type", "characters"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )
    assert (tmp_path / "data" / "manifest.json").is_file()
    assert done.returncode == 1
    expected = "lmcraft prepare: standard output cannot be written (No space left on device); everything else is complete"
    assert done.stderr.splitlines()[-1] == expected


def redirect(data: bytes, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
    """Make these bytes the standard input, as Python opens it in the locale C."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding=encoding, errors="surrogateescape"))


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_byte_order_mark_is_no_part_of_the_input(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    redirect("\ufeffüber\n\ufeffb".encode(), monkeypatch, encoding)
    prepare_standard_streams()
    assert sys.stdin.read() == "über\n\ufeffb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("models") / "tiny"
    language_model().save(path)
    return str(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-16-le", "utf-32-be", "gb18030"])
@pytest.mark.parametrize("command", ["generate", "chat"])
def test_input_that_is_not_utf8_is_refused(
    command: str, encoding: str, folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    redirect("über\n".encode(encoding), monkeypatch)
    assert main([command, folder]) == 2
    assert "standard input is not UTF-8: convert it first" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["caf\udce9"], ["a", "--stop", "b", "--stop", "\udce9"], ["a", "--regex", "\udce9"]])
def test_arguments_that_are_not_utf8_are_refused(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "nowhere", *flags]) == 2
    assert "is not UTF-8, since it has the byte 0xe9: give it in UTF-8" in capsys.readouterr().err
