"""Typed access to metadata."""

from pathlib import Path

import pytest

from lmcraft.errors import UserError
from tests.gguf.handmade import value
from tests.gguf.test_container import write_and_open


def test_values_of_another_type_than_expected(tmp_path: Path) -> None:
    keys = {"t": value("text", "x"), "n": value("u32", 7), "nan": value("f32", float("nan")), "big": value("u64", 2**40)}
    keys |= {"l": value("[u32]", [1]), "b": value("bool", 1), "nested": value("[[u8]]", [[1], [2]])}
    metadata = write_and_open(tmp_path, keys).metadata
    for take in (
        lambda: metadata.count("t"),
        lambda: metadata.count("b"),
        lambda: metadata.count("big"),
        lambda: metadata.count("n", minimum=8),
        lambda: metadata.text("n"),
        lambda: metadata.flag("n"),
        lambda: metadata.number("nan"),
        lambda: metadata.number("b"),
        lambda: metadata.texts("l"),
        lambda: metadata.texts("nested"),
        lambda: metadata.numbers("t"),
        lambda: metadata.numbers("n"),
    ):
        with pytest.raises(UserError, match="cannot be read: its key"):
            take()
    assert metadata.number("n") == 7.0 and metadata.flag("b") is True
