"""Every format is a regular expression that Rust's library and llguidance accept; test_normalizer.py has values."""

import pytest

pytest.importorskip("llguidance")

from lmcraft.inference.json_schema.formats import PATTERNS
from tests.inference.json_schema.matching import Grammar


@pytest.mark.parametrize("name", PATTERNS)
def test_a_format_compiles_and_is_no_annotation(name: str) -> None:
    assert not Grammar({"type": "string", "format": name}).accepts("\u0000 \\")
