"""Compiles `decode.cpp` and its headers for this machine, once, and loads the library."""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from lmcraft.folder import atomic_write
from lmcraft.hub.download_cache import cache_folder
from lmcraft.inference.native.structs import check_struct_sizes

SOURCE = Path(__file__).with_name("decode.cpp")
# -ffp-contract=off: the same sum must be rounded the same way everywhere, or texts would depend on the batch.
FLAGS = ("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi")
COMPILERS = ("c++", "g++", "clang++")
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
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BuildError("there is no C++ compiler (install g++ or clang, or set CXX)")
    command = [compiler, *FLAGS, f"-march={target or os.environ.get('LMCRAFT_ISA') or 'native'}"]
    sources = [file.read_text(encoding="utf-8") for file in (SOURCE, *sorted(SOURCE.parent.glob("*.h")))]
    digest = hashlib.sha256("\0".join([*command, _cpu(), *sources]).encode()).hexdigest()[:20]
    file = cache_folder() / "native" / f"decode-{digest}.so"
    if not file.is_file():
        print("compiling the decode step for this machine (once, a few seconds) ...", file=sys.stderr, flush=True)
        try:
            with atomic_write(file) as temporary:
                run = [*command, str(SOURCE), "-o", str(temporary)]
                if not file.is_file():  # another process may have compiled it in the meantime
                    subprocess.run(run, check=True, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_SECONDS)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else "no message")
            raise BuildError(f"{compiler} could not compile decode.cpp: {reason[:200]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{compiler} could not be run: {error}") from error
    try:
        library = ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"'{file}' cannot be loaded ({error}): remove it") from error
    check_struct_sizes(library)
    return library


def _cpu() -> str:
    """Identifies this CPU's instruction sets: machines with different CPUs may share the cache folder."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return f"{platform.machine()} {platform.processor()}"
