"""Compiles `decode.cpp` and its headers for this machine, once, and loads the library."""

import ctypes
import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from lmcraft.folder import atomic_write
from lmcraft.hub.download_cache import cache_folder
from lmcraft.inference.native.compiler import INSTALL_COMPILER, Compiler, find_compilers
from lmcraft.inference.native.structs import check_struct_sizes
from lmcraft.processor import cpu_key

SOURCE = Path(__file__).with_name("decode.cpp")
# -ffp-contract=off: the same sum must be rounded the same way everywhere, or texts would depend on the batch.
FLAGS = ("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi")
COMPILE_TIMEOUT_SECONDS = 300


class BuildError(Exception):
    """There is no compiler, or it failed; the message says which."""


@cache
def load_library(target: str = "") -> ctypes.CDLL:
    """The compiled decode step. The first call on a machine compiles it, which takes a few seconds and prints a line.

    Args:
        target: the CPU to compile for, as the compiler's -march names it; by default the environment variable LMCRAFT_ISA,
            or this machine's.

    Raises:
        BuildError: it cannot be compiled or loaded.
        RuntimeError: its structures differ from those of `structs.py`.
    """
    target = target or os.environ.get("LMCRAFT_ISA") or "native"
    compilers = find_compilers()
    if not compilers:
        raise BuildError(f"there is no C++ compiler ({INSTALL_COMPILER} brings one; or install g++ or clang, or set CXX)")
    files = {compiler: _library_file(compiler, target) for compiler in compilers}
    file = next((file for file in files.values() if file.is_file()), None) or _compile(files, target)
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"'{file}' cannot be loaded ({error}): remove it") from error
    check_struct_sizes(library)
    return library


def instruction_set() -> str:
    """The instructions that the compiled decode step multiplies with, such as "AVX-512 VNNI".

    Raises:
        BuildError: it cannot be compiled or loaded.
    """
    function = load_library().lmcraft_instruction_set
    function.restype = ctypes.c_char_p
    return str(function().decode())


def _library_file(compiler: Compiler, target: str) -> Path:
    """The file for this source, compiler and processor; machines with different processors may share the cache folder."""
    sources = [file.read_text(encoding="utf-8") for file in (SOURCE, *sorted(SOURCE.parent.glob("*.h")))]
    key = "\0".join([*compiler.command, *FLAGS, target, cpu_key(), *sources])
    return cache_folder() / "native" / f"decode-{hashlib.sha256(key.encode()).hexdigest()[:20]}.so"


def _compile(files: dict[Compiler, Path], target: str) -> Path:
    """Compile the library with the first compiler that can, and return its file.

    Raises:
        BuildError: none can; the message is about the first.
    """
    print("compiling the decode step for this machine (once, in less than a minute) ...", file=sys.stderr, flush=True)
    errors = []
    for compiler, file in files.items():
        try:
            with atomic_write(file) as temporary:
                command = [*compiler.command, *FLAGS, compiler.target_option(target), str(SOURCE), "-o", str(temporary)]
                if not file.is_file():  # another process may have compiled it in the meantime
                    subprocess.run(command, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_SECONDS)
            return file
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
            errors.append(f"{compiler} could not compile decode.cpp: {reason[:200]}")
        except (OSError, subprocess.TimeoutExpired) as error:
            errors.append(f"{compiler} could not be run: {error}")
    raise BuildError(errors[0])
