"""The C structures have the size that ctypes computes."""

import ctypes

import pytest

from lmcraft.cpp.library import BuildError
from lmcraft.inference.native import structs
from lmcraft.inference.native.build import load_library

try:
    LIBRARY = load_library()
except BuildError as error:
    pytest.skip(str(error), allow_module_level=True)


def test_every_struct_has_the_same_size_in_cpp_and_python() -> None:
    structs.check_struct_sizes(LIBRARY)
    sizes = [LIBRARY.lmcraft_sizeof(struct.__name__.encode()) for struct in structs.STRUCTS]
    assert all(sizes) and LIBRARY.lmcraft_sizeof(b"Unknown") == 0


def test_a_struct_of_another_size_is_refused_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    class Row(ctypes.Structure):
        _fields_ = [*structs.Row._fields_, ("added", ctypes.c_int64)]

    monkeypatch.setattr(structs, "STRUCTS", (*structs.STRUCTS[:-1], Row))
    load_library.cache_clear()
    with pytest.raises(RuntimeError, match=r"struct Row has 40 bytes in model_layout\.h but 48 in structs\.py"):
        load_library()
