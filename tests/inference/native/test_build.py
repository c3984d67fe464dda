"""Compiling: once for each compiler, processor and source; failures say what to do."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lmcraft.inference.native import build
from lmcraft.inference.native.build import SOURCE, BuildError, load_library


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, in memory and on the disk."""
    load_library.cache_clear()
    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path)


def test_no_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    with pytest.raises(BuildError, match=r"no C\+\+ compiler"):
        load_library()


def test_the_first_error_of_the_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="In file\nx.h:3: error: no such thing\nmore")

    monkeypatch.setenv("CXX", "my-compiler")
    monkeypatch.setattr(build.subprocess, "run", fail)
    with pytest.raises(BuildError, match=r"my-compiler could not compile decode\.cpp: x\.h:3: error: no such thing"):
        load_library()


def test_a_compiler_that_does_not_run_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/compiler")
    with pytest.raises(BuildError, match="/nowhere/compiler could not be run"):
        load_library()


def test_a_damaged_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "my-compiler")
    monkeypatch.setattr(build.subprocess, "run", lambda command, **_: Path(command[-1]).write_bytes(b"no library"))
    with pytest.raises(BuildError, match=r"cannot be loaded .* remove it"):
        load_library()


def test_every_file_of_the_source_is_at_most_400_lines() -> None:
    for file in SOURCE.parent.glob("*.[hc]*"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file
