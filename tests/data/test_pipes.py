"""Pipes as sources; sockets, devices and missing files are refused."""

import gzip
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lmcraft.commands.prepare import PrepareConfig
from lmcraft.data import ReadStats, TextSources
from lmcraft.data.sources import read_table
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder

TEXT = "The cat sat on the mat, and the dog ran.\n" * 9
ROWS = b"".join(json.dumps({"text": f"row {n}"}).encode() + b"\n" for n in range(9))
MakePipe = Callable[[bytes], str]


@pytest.fixture
def make_pipe(tmp_path: Path) -> MakePipe:
    def make(contents: bytes) -> str:
        path = tmp_path / f"pipe{len(list(tmp_path.iterdir()))}"
        os.mkfifo(path)
        threading.Thread(target=path.write_bytes, args=(contents,), daemon=True).start()
        return str(path)

    return make


@pytest.mark.parametrize(
    ("contents", "texts"),
    [
        (TEXT.encode(), [TEXT]),
        ("déjà été café".encode("latin-1"), ["déjà été café"]),
        (gzip.compress(TEXT.encode()), [TEXT]),
        (ROWS, [f"row {n}" for n in range(9)]),
        (b'{"text": "%s"}\n' % (b"x" * 100_000), ["x" * 100_000]),
        (b"{ braces } are text\n", ["{ braces } are text\n"]),
    ],
)
def test_a_pipe_is_read_any_number_of_times(contents: bytes, texts: list[str], make_pipe: MakePipe) -> None:
    pipe = make_pipe(contents)
    sources = TextSources([pipe])
    for _ in range(2):
        stats = ReadStats()
        documents = list(sources.read(stats))
        assert [document.text for document in documents] == texts
        assert {document.source for document in documents} == {pipe} and stats.position == stats.total


def test_rows_of_a_pipe_are_a_table(make_pipe: MakePipe) -> None:
    assert len(list(read_table(Path(make_pipe(ROWS)), ReadStats("fail")))) == 9
    with pytest.raises(UserError, match="is a pipe without JSON lines"):
        list(read_table(Path(make_pipe(b"a,b\n1,2\n")), ReadStats()))


def test_the_split_of_a_pipe_depends_on_its_format(make_pipe: MakePipe) -> None:
    splits = [PrepareConfig((make_pipe(data),), out=Path("out")).resolved().split for data in (TEXT.encode(), ROWS)]
    assert splits == ["tail", "hash"]


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize(("name", "contents"), [("a.jsonl", ROWS), ("a.csv", b"text\n" + b"row\n" * 9), ("a.txt", b"row\n")])
def test_redirected_input_has_the_format_of_its_file(tmp_path: Path, name: str, contents: bytes, deleted: bool) -> None:
    (tmp_path / name).write_bytes(contents)
    with (tmp_path / name).open("rb") as file:
        if deleted:
            (tmp_path / name).unlink()
        stats = ReadStats()
        documents = list(TextSources([f"/dev/fd/{file.fileno()}"]).read(stats))
    assert len(documents) == (1 if name == "a.txt" or (deleted and name == "a.csv") else 9)


def test_a_hyphen_is_standard_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lmcraft", "prepare", "-", "--out", str(tmp_path / "out"), "--vocab-size", "300"]
    subprocess.run(command, check=True, capture_output=True, input=ROWS)
    splits = DatasetFolder(tmp_path / "out").manifest()["splits"]
    assert sum(split["documents"] for split in splits.values()) == 9


def test_sockets_devices_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # a short name
        for source, kind in [(path, "is a socket"), ("/dev/null", "is a device"), (tmp_path / "n", "does not exist")]:
            with pytest.raises(UserError, match=f"source '{source}' {kind}"):
                TextSources([str(source)])
            with pytest.raises(UserError, match=f"data '{source}' {kind}"):
                list(read_table(Path(source), ReadStats()))
