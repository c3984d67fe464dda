"""Compiles `decode.cpp` and its headers for this machine, once, and loads the library."""

import ctypes
from functools import cache
from pathlib import Path

from lmcraft.cpp.library import Source
from lmcraft.cpp.library import load_library as load_cpp_library
from lmcraft.inference.native.structs import check_struct_sizes

# -ffp-contract=off: the same sum must be rounded the same way everywhere, or texts would depend on the batch.
SOURCE = Source(Path(__file__).with_name("decode.cpp"), "the decode step", ("-ffp-contract=off",))


@cache
def load_library(target: str = "") -> ctypes.CDLL:
    """The compiled decode step, for a `target` as in `load_cpp_library`.

    Raises:
        BuildError: it cannot be compiled or loaded.
        RuntimeError: its structures differ from those of `structs.py`.
    """
    library = load_cpp_library(SOURCE, target)
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
