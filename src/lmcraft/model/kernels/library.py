"""Compiles the C++ for training, and calls its functions on the OpenMP threads that torch uses.

Threads of our own would wait for a core each time, since torch's threads spin for a while after their last task.
"""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

from lmcraft.cpp.library import BuildError, Source, load_library

SOURCE = Source(Path(__file__).with_name("kernels.cpp"), "parts of training", ("-ffp-contract=fast",))
OPENMP_LIBRARIES = ("libgomp", "libiomp5", "libomp")


def is_available(*tensors: Tensor) -> bool:
    """Whether the compiled functions can compute with these tensors: float32, on the CPU, and not sharded."""
    suitable = all(
        type(tensor) in (Tensor, nn.Parameter) and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
        for tensor in tensors
    )
    return suitable and not torch.compiler.is_compiling() and _compiled() is not None


def call(function: str, argument: ctypes.Structure) -> None:
    """Call a compiled function in each of torch's threads, all with the same argument."""
    libraries = _compiled()
    assert libraries is not None
    library, openmp = libraries
    threads = ctypes.c_uint(torch.get_num_threads())
    openmp.GOMP_parallel(getattr(library, function), ctypes.byref(argument), threads, ctypes.c_uint(0))


@cache
def _compiled() -> tuple[ctypes.CDLL, ctypes.CDLL] | None:
    """The compiled library and torch's OpenMP; None if the one cannot be compiled, or the other has another interface."""
    if (openmp := _torch_openmp()) is None:
        return None
    try:
        return load_library(SOURCE), openmp
    except BuildError:
        return None


def _torch_openmp() -> ctypes.CDLL | None:
    """The OpenMP library that torch has loaded; None unless this is Linux and the library has GNU's interface."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    files = {Path(line.split(maxsplit=5)[5]) for line in maps if "/" in line}
    loaded = [file for file in files if file.name.startswith(OPENMP_LIBRARIES)]
    torch_folder = Path(torch.__file__).parent
    loaded.sort(key=lambda file: not file.is_relative_to(torch_folder))  # other packages bring their own
    libraries = (ctypes.CDLL(str(file)) for file in loaded[:1])
    return next((library for library in libraries if hasattr(library, "GOMP_parallel")), None)
