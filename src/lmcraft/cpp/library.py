"""Compiles C++ for this machine, once, and loads the library."""

import ctypes
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lmcraft.cpp.compiler import INSTALL_COMPILER, Compiler, find_compilers
from lmcraft.cpp.targets import missing_flags, usable_targets
from lmcraft.folder import atomic_write
from lmcraft.hub.download_cache import cache_folder
from lmcraft.processor import cpu_key

FLAGS = ("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-Wno-psabi")
COMPILE_TIMEOUT_SECONDS = 900  # ziglang first compiles its C++ library; a minute on two idle cores


class BuildError(Exception):
    """There is no compiler, or it failed; the message says which."""


@dataclass(frozen=True)
class Source:
    """A C++ file, which may include the headers beside it."""

    file: Path
    purpose: str
    """What it computes, for messages."""
    flags: tuple[str, ...] = ()
    """Further flags of the compiler."""


@cache
def load_library(source: Source, target: str = "") -> ctypes.CDLL:
    """The compiled source: one of the folder that LMCRAFT_PREBUILT names, if it has one for this processor, or else
    compiled on the first call on a machine, which takes a few seconds and prints a line.

    Args:
        source: what to compile.
        target: the CPU to compile for, one of `TARGETS` or as the compiler's -march names it; by default the environment
            variable LMCRAFT_ISA, or this machine's.

    Raises:
        BuildError: it cannot be compiled or loaded; LMCRAFT_ISA asks for instructions that this processor lacks.
    """
    cpu = target or os.environ.get("LMCRAFT_ISA", "")
    if missing := missing_flags(cpu):
        raise BuildError(f"this processor cannot run {cpu}: it lacks {', '.join(missing)} (is LMCRAFT_ISA set to it?)")
    file = _find_prebuilt(source, cpu)
    if file is None:
        files = {compiler: _library_file(source, compiler, cpu or "native") for compiler in find_compilers()}
        if not files:
            raise BuildError(_describe_lack(cpu))
        file = next((file for file in files.values() if file.is_file()), None) or _compile(source, files, cpu or "native")
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"'{file}' cannot be loaded ({error}): remove it") from error


def is_compiled(source: Source) -> bool:
    """Whether `load_library` would find the source compiled, for the CPU that it chooses by default."""
    target = os.environ.get("LMCRAFT_ISA", "")
    if _find_prebuilt(source, target) is not None:
        return True
    return any(_library_file(source, compiler, target or "native").is_file() for compiler in find_compilers())


def prebuild(source: Source, folder: Path, target: str) -> Path:
    """Compile a source for one of `TARGETS` into a folder for LMCRAFT_PREBUILT, also if this processor cannot run it.

    Raises:
        BuildError: it cannot be compiled.
    """
    compilers = find_compilers()
    if not compilers:
        raise BuildError(_describe_lack(target))
    return _compile(source, dict.fromkeys(compilers, _prebuilt_file(source, folder, target)), target)


def _find_prebuilt(source: Source, target: str) -> Path | None:
    """The file in LMCRAFT_PREBUILT for a target, by default the fastest one of this processor; None: there is none."""
    if not (folder := os.environ.get("LMCRAFT_PREBUILT")):
        return None
    files = (_prebuilt_file(source, Path(folder), name) for name in ([target] if target else usable_targets()))
    return next((file for file in files if file.is_file()), None)


def _describe_lack(target: str) -> str:
    message = f"there is no C++ compiler ({INSTALL_COMPILER} brings one; or install g++ or clang, or set CXX)"
    if folder := os.environ.get("LMCRAFT_PREBUILT"):
        message += f", and LMCRAFT_PREBUILT='{folder}' has nothing for {target or 'this processor'} and this version"
    return message


def _prebuilt_file(source: Source, folder: Path, target: str) -> Path:
    """The file for a source and a target, which any compiler may have made."""
    return folder / f"{source.file.stem}-{target}-{_hash(*FLAGS, *source.flags, *_texts(source))}.so"


def _library_file(source: Source, compiler: Compiler, target: str) -> Path:
    """The file for a source, compiler and processor; machines with different processors may share the cache folder."""
    key = _hash(*compiler.command, *FLAGS, *source.flags, target, cpu_key(), *_texts(source))
    return cache_folder() / "native" / f"{source.file.stem}-{key}.so"


def _texts(source: Source) -> list[str]:
    return [file.read_text(encoding="utf-8") for file in (source.file, *sorted(source.file.parent.glob("*.h")))]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]


def _compile(source: Source, files: dict[Compiler, Path], target: str) -> Path:
    """Compile the library with the first compiler that can, and return its file.

    Raises:
        BuildError: none can; the message is about the first.
    """
    machine = "this machine" if target == "native" else target
    line = f"compiling {source.purpose} for {machine} (once, in less than a minute) ..."
    print(line, file=sys.stderr, flush=True)
    errors = []
    for compiler, file in files.items():
        flags = [*FLAGS, *source.flags, *compiler.target_options(target)]
        try:
            with atomic_write(file) as temporary:
                command = [*compiler.command, *flags, str(source.file), "-o", str(temporary)]
                if not file.is_file():  # another process may have compiled it in the meantime
                    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_SECONDS)
            return file
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
            errors.append(f"{compiler} could not compile {source.file.name}: {reason[:200]}")
        except (OSError, subprocess.TimeoutExpired) as error:
            errors.append(f"{compiler} could not be run: {error}")
    raise BuildError(errors[0])
