"""The readings in C++ are those in arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.cpp.library import BuildError
from lmcraft.moderation.normalization.kinds import kind_table
from lmcraft.moderation.normalization.native.library import NativeUnmasking
from lmcraft.moderation.normalization.plain import make_plain
from lmcraft.moderation.normalization.unmasking import _letters, read

PIECES = st.sampled_from(
    [
        "a",
        "b",
        "bad",
        "ii",
        "l",
        " ",
        "  ",
        ".",
        "-",
        "*",
        "|",
        "+",
        "!",
        "1",
        "0",
        "@",
        "\n",
        "'",
        ",",
        "笨",
        "蛋",
        "。",
        "é",
    ]
)


@pytest.fixture(scope="module")
def library() -> NativeUnmasking:
    try:
        return NativeUnmasking(kind_table(), _letters())
    except BuildError as error:
        pytest.skip(str(error))


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=120).map("".join) | st.text(max_size=40))
def test_same_readings(library, text):
    plain = make_plain(text).text
    expected, actual = list(read(plain)), list(library.read(plain))
    assert [number for number, _, _ in actual] == [number for number, _, _ in expected]
    for mine, theirs in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(mine[1], theirs[1])
        np.testing.assert_array_equal(mine[2], theirs[2])
