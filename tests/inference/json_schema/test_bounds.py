"""Exclusive bounds: no number outside an interval passes, in whichever part of the schema its bounds are."""

from itertools import product
from typing import Any

import pytest

pytest.importorskip("llguidance")

from lmcraft.inference.json_schema.bounds import include_bounds
from tests.inference.json_schema.matching import Grammar

BOUNDS = (-3, -2.5, -2, -0.5, 0, 0.5, 2, 2.5, 3)
NUMBERS = (-3, -2.7, -2.5, -2.2, -2, -1, -0.5, -0.2, -0.0, 0, 0.2, 0.5, 1, 2, 2.2, 2.5, 2.7, 3, 10)


def schemas(lower: dict[str, Any], upper: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "number", **lower, **upper},
        {"allOf": [{"type": "number", **lower}, upper]},
        {"type": "number", **lower, "anyOf": [upper]},
        {"$ref": "#/$defs/a", **upper, "$defs": {"a": {"type": "number", **lower}}},
    ]


@pytest.mark.parametrize("low", BOUNDS)
def test_short_intervals(low: float) -> None:
    for high, lower, upper in product(BOUNDS, ("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if not 0 < high - low < 1:
            continue
        for schema in schemas({lower: low}, {upper: high}):
            grammar = Grammar(schema)
            for number in NUMBERS:
                above = number >= low if lower == "minimum" else number > low
                below = number <= high if upper == "maximum" else number < high
                fits = above and below
                is_written_as_whole = isinstance(number, float) and number == 0  # -0.0 is generated as 0
                assert grammar.accepts(number) == fits or (fits and is_written_as_whole), (schema, number)


@pytest.mark.parametrize("bound", [0, 1, 10**6, 10**12, 10**15])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_large_bounds(bound: int, kind: str) -> None:
    lower, upper = (Grammar({"type": kind, name: value}) for name, value in
                    (("exclusiveMinimum", bound), ("exclusiveMaximum", -bound)))  # fmt: skip
    assert [lower.accepts(bound + n) for n in (-1, 0, 1)] == [False, False, True]
    assert [upper.accepts(-bound - n) for n in (-1, 0, 1)] == [False, False, True]


@pytest.mark.parametrize("bound", [2**63 - 1, 2**63, 1.8e19, 3.4028234663852886e38, 1.7976931348623157e308])
@pytest.mark.parametrize("kind", ["number", "integer"])
def test_bounds_beyond_64_bits(bound: float, kind: str) -> None:
    for schema in ({"minimum": -bound, "maximum": bound}, {"exclusiveMinimum": -bound, "exclusiveMaximum": bound}):
        grammar = Grammar({"type": kind, **schema})
        assert all(map(grammar.accepts, (0, -5, 10**18, -(10**18)))) and not grammar.accepts_text("1e400")
    with pytest.raises(ValueError, match="Failed to generate regex for"):
        Grammar({"type": kind, "minimum": bound})


def test_other_bounds_stay() -> None:
    for schema in ({"exclusiveMinimum": 0.5}, {"exclusiveMaximum": 3}, {"minimum": 0}, {"const": {"exclusiveMinimum": 0}}):
        assert include_bounds(schema) == schema
    assert include_bounds({"exclusiveMinimum": 2, "minimum": 2.25}) == {"minimum": 2.25}
