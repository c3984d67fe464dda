"""Compiling `decode.cpp` and what it includes for this machine, once."""

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

SOURCE = Path(__file__).with_name("decode.cpp")
# -ffp-contract=off: a sum must not be rounded otherwise in one place than in another, or texts would depend on the batch.
FLAGS = ("-O3", "-std=c++20", "-shared", "-fPIC", "-pthread", "-fno-math-errno", "-ffp-contract=off", "-Wno-psabi")
COMPILERS = ("c++", "g++", "clang++")
TIMEOUT = 300  # seconds


class BuildError(Exception):
    """There is no compiler, or it refused; the message says which."""


@cache
def library(target: str = "native") -> ctypes.CDLL:
    """The compiled decode step; compiled on the first call on a machine, which takes a few seconds and is announced.

    Args:
        target: the CPU to compile for, as the compiler's -march names it.

    Raises:
        BuildError: it cannot be built here.
    """
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        raise BuildError("there is no C++ compiler (install g++ or clang, or set CXX)")
    command = [compiler, *FLAGS, f"-march={target}"]
    sources = [file.read_text(encoding="utf-8") for file in (SOURCE, *sorted(SOURCE.parent.glob("*.h")))]
    wanted = hashlib.sha256("\0".join([*command, _cpu(), *sources]).encode()).hexdigest()[:20]
    file = cache_folder() / "native" / f"decode-{wanted}.so"
    if not file.is_file():
        print("building the decode step for this machine (once, a few seconds) ...", file=sys.stderr, flush=True)
        try:
            with atomic_write(file) as temporary:
                run = [*command, str(SOURCE), "-o", str(temporary)]
                subprocess.run(run, check=True, capture_output=True, text=True, timeout=TIMEOUT)
        except subprocess.CalledProcessError as error:
            lines = error.stderr.strip().splitlines()
            reason = next((line for line in lines if "error" in line), lines[0] if lines else "it says nothing")
            raise BuildError(f"{compiler} refuses decode.cpp: {reason[:200]}") from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BuildError(f"{compiler} cannot be run: {error}") from error
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise BuildError(f"'{file}' cannot be loaded ({error}): remove it") from error


def _cpu() -> str:
    """What tells this CPU's instructions from another's, since a home folder may be shared between machines."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
    return f"{platform.machine()} {platform.processor()}"
