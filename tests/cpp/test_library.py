"""Compiling: once for each compiler, processor and source; failures say what to do."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cpp import compiler, library
from lmcraft.cpp.compiler import find_compilers
from lmcraft.cpp.library import BuildError, Source, is_compiled, load_library
from lmcraft.inference.native.build import SOURCE
from lmcraft.model.kernels.library import SOURCE as TRAINING_SOURCE
from lmcraft.tokenizer.native.encoder import SOURCE as TOKENIZER_SOURCE


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, in memory and on the disk."""
    load_library.cache_clear()
    monkeypatch.setattr(library, "cache_folder", lambda: tmp_path)


class FakeCompilers:
    """Stands for `subprocess.run`: each compiler writes its name, except for those that fail."""

    def __init__(self, *broken: str) -> None:
        self.broken, self.commands = broken, list[list[str]]()

    def run(self, command: list[str], **_: Any) -> None:
        self.commands.append(command)
        if command[0] in self.broken:
            raise subprocess.CalledProcessError(1, command, stderr=f"{command[0]}: error: too old")
        Path(command[-1]).write_text(command[0])


@pytest.fixture
def two_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler on the path, and the package with another."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: f"/bin/{name}" if name == "g++" else None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: object())


def test_no_compiler_is_reported_with_the_way_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    with pytest.raises(BuildError, match=r"no C\+\+ compiler \(pip install ziglang brings one"):
        load_library(SOURCE)


@pytest.mark.usefixtures("two_compilers")
def test_the_compiler_on_the_path_comes_first_and_the_packages_is_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_ISA", "x86-64-v3")
    files = {each: library._library_file(SOURCE, each, "x86-64-v3") for each in find_compilers()}
    for broken, chosen in (((), 0), (("/bin/g++",), 1)):
        compilers = FakeCompilers(*broken)
        monkeypatch.setattr(library.subprocess, "run", compilers.run)
        file = library._compile(SOURCE, files, "x86-64-v3")
        assert file == list(files.values())[chosen] and file.read_text() == list(files)[chosen].command[0]
        file.unlink()
    assert "-march=x86-64-v3" in compilers.commands[0] and "-march=x86_64_v3" in compilers.commands[1]
    assert compilers.commands[1][1:4] == ["-m", "ziglang", "c++"]


@pytest.mark.usefixtures("two_compilers")
def test_the_error_is_about_the_first_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library.subprocess, "run", FakeCompilers("/bin/g++", sys.executable).run)
    with pytest.raises(BuildError, match=r"/bin/g\+\+ could not compile decode\.cpp: /bin/g\+\+: error: too old"):
        load_library(SOURCE)


@pytest.mark.usefixtures("two_compilers")
def test_what_the_second_compiler_made_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    compilers = FakeCompilers("/bin/g++")
    monkeypatch.setattr(library.subprocess, "run", compilers.run)
    assert not is_compiled(SOURCE)
    for _ in range(2):
        with pytest.raises(BuildError, match="cannot be loaded"):
            load_library(SOURCE)
    assert len(compilers.commands) == 2 and is_compiled(SOURCE)


@pytest.mark.usefixtures("two_compilers")
def test_cxx_may_have_arguments_and_is_the_only_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "ccache 'my g++' -m64")
    assert [each.command for each in find_compilers()] == [("ccache", "my g++", "-m64")]


def test_the_first_error_of_the_compiler_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="In file\nx.h:3: error: no such thing\nmore")

    monkeypatch.setenv("CXX", "my-compiler")
    monkeypatch.setattr(library.subprocess, "run", fail)
    with pytest.raises(BuildError, match=r"my-compiler could not compile decode\.cpp: x\.h:3: error: no such thing"):
        load_library(SOURCE)


def test_a_compiler_that_does_not_run_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/compiler")
    with pytest.raises(BuildError, match="/nowhere/compiler could not be run"):
        load_library(SOURCE)


def test_a_damaged_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "my-compiler")
    monkeypatch.setattr(library.subprocess, "run", lambda command, **_: Path(command[-1]).write_bytes(b"no library"))
    with pytest.raises(BuildError, match=r"cannot be loaded .* remove it"):
        load_library(SOURCE)


@pytest.mark.parametrize("source", [SOURCE, TRAINING_SOURCE, TOKENIZER_SOURCE], ids=lambda source: source.purpose)
def test_every_file_of_the_source_is_at_most_400_lines(source: Source) -> None:
    for file in source.file.parent.glob("*.[hc]*"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 400, file


@pytest.mark.parametrize(
    ("machine", "target", "option"),
    [
        ("x86_64", "native", "-march=native"),
        ("x86_64", "x86-64-v3", "-march=x86-64-v3"),
        ("aarch64", "native", "-mcpu=native"),
        ("arm64", "native", "-mcpu=native"),
        ("aarch64", "armv8.2-a+dotprod", "-march=armv8.2-a+dotprod"),
    ],
)
def test_the_option_for_a_processor(machine: str, target: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.platform, "machine", lambda: machine)
    assert compiler.Compiler(("g++",)).target_option(target) == option
