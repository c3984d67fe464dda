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
    """The compiled source. The first call on a machine compiles it, which takes a few seconds and prints a line.

    Args:
        source: what to compile.
        target: the CPU to compile for, as the compiler's -march names it; by default the environment variable LMCRAFT_ISA,
            or this machine's.

    Raises:
        BuildError: it cannot be compiled or loaded.
    """
    target = target or os.environ.get("LMCRAFT_ISA") or "native"
    files = {compiler: _library_file(source, compiler, target) for compiler in find_compilers()}
    if not files:
        raise BuildError(f"there is no C++ compiler ({INSTALL_COMPILER} brings one; or install g++ or clang, or set CXX)")
    file = next((file for file in files.values() if file.is_file()), None) or _compile(source, files, target)
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"'{file}' cannot be loaded ({error}): remove it") from error


def is_compiled(source: Source) -> bool:
    """Whether `load_library` would find the source compiled, for the CPU that it chooses by default."""
    target = os.environ.get("LMCRAFT_ISA") or "native"
    return any(_library_file(source, compiler, target).is_file() for compiler in find_compilers())


def _library_file(source: Source, compiler: Compiler, target: str) -> Path:
    """The file for a source, compiler and processor; machines with different processors may share the cache folder."""
    texts = [file.read_text(encoding="utf-8") for file in (source.file, *sorted(source.file.parent.glob("*.h")))]
    key = "\0".join([*compiler.command, *FLAGS, *source.flags, target, cpu_key(), *texts])
    return cache_folder() / "native" / f"{source.file.stem}-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"


def _compile(source: Source, files: dict[Compiler, Path], target: str) -> Path:
    """Compile the library with the first compiler that can, and return its file.

    Raises:
        BuildError: none can; the message is about the first.
    """
    line = f"compiling {source.purpose} for this machine (once, in less than a minute) ..."
    print(line, file=sys.stderr, flush=True)
    errors = []
    for compiler, file in files.items():
        flags = [*FLAGS, *source.flags, compiler.target_option(target)]
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
