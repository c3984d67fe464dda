"""Compiling: once for each compiler, processor and source; failures say what to do."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cpp import compiler, library, targets
from lmcraft.cpp.compiler import find_compilers
from lmcraft.cpp.library import BuildError, Source, is_compiled, load_library, prebuild
from lmcraft.cpp.targets import TARGETS, machine_targets
from lmcraft.inference.native.build import SOURCE
from lmcraft.model.kernels.library import SOURCE as TRAINING_SOURCE
from lmcraft.tokenizer.native.encoder import SOURCE as TOKENIZER_SOURCE


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, in memory and on the disk."""
    monkeypatch.delenv("LMCRAFT_PREBUILT", raising=False)
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


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)


@pytest.fixture
def prebuilt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder with a library for each target of x86-64, on a processor of that kind with AVX-512 but without VNNI."""
    monkeypatch.setattr(targets.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(targets, "cpu_flags", lambda: TARGETS["x86-64-v4-vnni"].flags - {"avx512_vnni"})
    monkeypatch.setattr(library.ctypes, "CDLL", Path)
    monkeypatch.setenv("LMCRAFT_PREBUILT", str(tmp_path / "prebuilt"))
    monkeypatch.delenv("LMCRAFT_ISA", raising=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "find_compilers", lambda: [compiler.Compiler(("g++",))])
        patch.setattr(library.subprocess, "run", FakeCompilers().run)
        files = [prebuild(SOURCE, tmp_path / "prebuilt", target) for target in machine_targets()]
    assert [file.name.split("-", 1)[1].rsplit("-", 1)[0] for file in files] == machine_targets()
    return tmp_path / "prebuilt"


@pytest.mark.usefixtures("no_compiler", "prebuilt")
def test_without_a_compiler_the_fastest_prebuilt_library_that_the_processor_can_run_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert is_compiled(SOURCE) and "x86-64-v3" in str(load_library(SOURCE))
    load_library.cache_clear()
    monkeypatch.setattr(targets, "cpu_flags", lambda: TARGETS["x86-64-v4-bf16"].flags | {"amx_tile"})
    assert "x86-64-v4-bf16" in str(load_library(SOURCE))
    assert "x86-64-v4-vnni" in str(load_library(SOURCE, "x86-64-v4-vnni"))
    load_library.cache_clear()
    monkeypatch.setenv("LMCRAFT_ISA", "x86-64-v3")
    assert is_compiled(SOURCE) and "x86-64-v3" in str(load_library(SOURCE))


@pytest.mark.usefixtures("no_compiler")
def test_a_processor_or_a_version_for_which_nothing_is_prebuilt_is_reported(
    monkeypatch: pytest.MonkeyPatch, prebuilt: Path
) -> None:
    message = rf"no C\+\+ compiler .*LMCRAFT_PREBUILT='{prebuilt}' has nothing for this processor and this version"
    monkeypatch.setattr(library, "FLAGS", (*library.FLAGS, "-DOTHER"))
    with pytest.raises(BuildError, match=message):
        load_library(SOURCE)


@pytest.mark.usefixtures("two_compilers", "prebuilt")
def test_instructions_that_the_processor_lacks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_ISA", "x86-64-v4-bf16")
    with pytest.raises(BuildError, match=r"cannot run x86-64-v4-bf16: it lacks avx512_bf16, avx512_vnni \(is LMCRAFT_ISA"):
        load_library(SOURCE)
    monkeypatch.setattr(targets, "cpu_flags", set)  # macOS does not list them
    assert targets.usable_targets() == [] and targets.missing_flags("x86-64-v4-bf16") == []


@pytest.mark.usefixtures("no_compiler")
def test_no_compiler_is_reported_with_the_way_to_one() -> None:
    with pytest.raises(BuildError, match=r"no C\+\+ compiler \(pip install ziglang brings one"):
        load_library(SOURCE)
    with pytest.raises(BuildError, match=r"no C\+\+ compiler"):
        prebuild(SOURCE, Path("nowhere"), "x86-64-v3")


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
        ("x86_64", "x86-64-v4-vnni", "-march=x86-64-v4 -mavx512vnni"),
    ],
)
def test_the_option_for_a_processor(machine: str, target: str, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler.platform, "machine", lambda: machine)
    assert compiler.Compiler(("g++",)).target_options(target) == tuple(option.split())
