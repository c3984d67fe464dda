"""Environment variables and malloc settings of a process that trains, set before torch makes its first tensor."""

import ctypes
import os
import sys
from typing import Any

from lmcraft.hub.download_cache import cache_folder

# Parameters of mallopt, from glibc's malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
HEAP_GROWTH_BYTES = 2**26


def set_up_environment() -> None:
    """Keep freed memory in the process, and torch.compile's results in the cache folder; let threads wait only briefly."""
    _keep_freed_memory()
    _bound_spinning()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))


def release_freed_memory() -> None:
    """Return freed memory to the kernel: what a part of a run that is over has used."""
    if malloc_trim := _glibc_function("malloc_trim"):
        malloc_trim(0)


def let_threads_sleep() -> None:
    """Have OpenMP's threads sleep while they wait for each other, for a command whose products are short.

    By default they spin. On a busy machine that took 5 s of processor time for one text whose products take 0.2 s.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _bound_spinning() -> None:
    """Have OpenMP's threads spin for some 20 microseconds before they sleep, not for milliseconds.

    On a machine with a load of 17 on two cores, a step of a small model took 0.6 s of processor time with the default, since
    threads spin while those that they wait for do not run, and 0.026 s so. A user's OMP_WAIT_POLICY goes before.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory for the next allocation, in huge pages.

    By default glibc returns every large array to the kernel, which clears it page by page at the next allocation. That takes
    a sixth of a step of a model with 0.1B parameters (docs/lab-notes.md).
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first large tensor
    if mallopt := _glibc_function("mallopt"):
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, HEAP_GROWTH_BYTES)):
            mallopt(parameter, value)


def _glibc_function(name: str) -> Any:
    """A function of the C library; None where it has none of this name, as musl."""
    return getattr(ctypes.CDLL(None), name, None) if sys.platform.startswith("linux") else None
