"""What a process that trains asks of its environment, before torch is imported or makes its first tensor."""

import ctypes
import os
import sys

from lmcraft.hub.download_cache import cache_folder

# Names of glibc's malloc.h (mallopt).
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
PIECE = 2**26  # bytes that the heap grows by


def set_up() -> None:
    """Keep memory that is freed, and what torch.compile made, for later."""
    _keep_memory()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))


def _keep_memory() -> None:
    """Have this process keep what it frees, in large pages, where the C library is glibc.

    glibc gives every large array back to the kernel, which clears it page by page when the next one is asked for: a sixth
    of a step of a model of 0.1B parameters (docs/lab-notes.md).
    """
    if not sys.platform.startswith("linux"):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch reads it at its first large tensor
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # musl has none
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, PIECE)):
            mallopt(parameter, value)
