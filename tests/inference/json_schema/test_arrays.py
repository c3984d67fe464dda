"""`contains` and `uniqueItems`: no array that breaks them passes, and all others do up to a length."""

from itertools import product
from typing import Any

import pytest

pytest.importorskip("llguidance")

from lmcraft.inference.json_schema.arrays import MAX_CONTAINS_ITEMS, finite_values
from lmcraft.inference.json_schema.scope import Scope
from tests.inference.json_schema.matching import Grammar


@pytest.mark.parametrize(
    ("low", "high", "longest"),
    [
        (1, None, None),
        (2, None, None),
        (0, 1, None),
        (1, 2, None),
        (2, 2, 4),
        (0, 0, None),
        (1, 1, 3),
        (3, None, 4),
        (1, 10**30, 3),
    ],
)
def test_numbers_of_items(low: int, high: int | None, longest: int | None) -> None:
    schema: dict[str, Any] = {"items": {"enum": ["a", 1]}, "contains": {"type": "string"}, "minContains": low}
    schema |= ({} if high is None else {"maxContains": high}) | ({} if longest is None else {"maxItems": longest})
    grammar = Grammar(schema)
    assert grammar.accepts("x")
    for length in range(5):
        for array in product(["a", 1], repeat=length):
            fits = low <= array.count("a") <= (length if high is None else high)
            assert grammar.accepts([*array]) == (fits and length <= (longest or length)), array


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"contains": True}, [[1]], [[]]),
        ({"contains": False}, ["x"], [[], [1]]),
        ({"contains": {"const": 1}, "minContains": 2, "maxContains": 1}, ["x"], [[], [1], [1, 1]]),
        ({"contains": {"type": "null"}, "minContains": 0}, [[1], []], []),
        ({"contains": {"type": "null"}}, [[1] * (MAX_CONTAINS_ITEMS - 1) + [None, 1]], [[1] * MAX_CONTAINS_ITEMS]),
        ({"prefixItems": [{"const": 5}], "contains": {"minimum": 9}}, [[5, 9], [5, 1, 10]], [[5], [9], []]),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True}, [[], ["b", "a"], ["a"]], [["a", "a"], "a"]),
        ({"items": {"type": "boolean"}, "uniqueItems": True, "minItems": 2}, [[True, False], 5], [[True], [True, True]]),
        ({"items": {"$ref": "#/$defs/E"}, "uniqueItems": True, "$defs": {"E": {"enum": [1, 1.0, 2]}}}, [[1, 2]], [[1, 1]]),
        ({"items": {"type": "string", "enum": [1, "a"]}, "uniqueItems": True}, [["a"]], [[1], ["a", 1]]),
        ({"items": {"type": "integer", "exclusiveMinimum": 0, "maximum": 3}, "uniqueItems": True}, [[3, 1]], [[1, 1], [4]]),
        ({"uniqueItems": True, "maxItems": 1}, [[1]], [[1, 1]]),
        ({"uniqueItems": False}, [[1, 1]], []),
        ({"prefixItems": [{"type": "string"}, {"type": "null"}], "items": False, "uniqueItems": True}, [["a", None]], [[1]]),
        (
            {"prefixItems": [{"type": "boolean"}, {"type": "boolean"}], "items": False, "uniqueItems": True},
            [[True, False], [True], []],
            [[True, True], [True, False, 1]],
        ),
        (
            {"prefixItems": [{"const": "a"}], "items": {"enum": ["a", "b"]}, "uniqueItems": True},
            [["a"], ["a", "b"]],
            [["a", "a"], ["b"], ["a", "b", "b"]],
        ),
    ],
)  # fmt: skip
def test_arrays(schema: Any, valid: list[Any], invalid: list[Any]) -> None:
    grammar = Grammar(schema)
    assert [value for value in valid if not grammar.accepts(value)] == []
    assert [value for value in invalid if grammar.accepts(value)] == []


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"properties": {"tags": {"uniqueItems": True}}}, r"properties\.tags\.uniqueItems cannot be enforced"),
        ({"prefixItems": [{"type": "boolean"}], "uniqueItems": True}, "uniqueItems cannot be enforced"),
        ({"items": {"enum": list(range(9))}, "uniqueItems": True}, "more than 2000 arrays; set a smaller maxItems"),
        (
            {"contains": {"multipleOf": 2}, "maxContains": 1},
            "maxContains cannot be enforced: 'multipleOf' cannot be negated",
        ),
        ({"contains": {"type": "null"}, "minContains": 40}, "contains cannot be enforced for 40 items"),
        ({"contains": {"type": "null"}, "minContains": 10**30}, "contains cannot be enforced for"),
        # The arrays that are not generated must not be allowed where the schema is negated.
        ({"not": {"contains": {"type": "null"}}}, "not cannot be enforced: 'contains' cannot be negated"),
        ({"if": {"contains": {"type": "null"}}, "then": {"maxItems": 3}}, "if cannot be enforced"),
        ({"oneOf": [{"contains": {"type": "null"}}, {"type": "array"}]}, "oneOf has alternatives that may overlap"),
    ],
)
def test_what_cannot_be_enforced_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Grammar(schema)


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (False, []), (True, None), ({"type": "string"}, None), ({"type": "null", "title": "x"}, [None]),
        ({"enum": [1, 1.5, True, "a"], "type": "integer"}, [1]), ({"const": 1, "enum": [1.0]}, [1]),
        ({"const": 1, "enum": [2]}, []),
        ({"type": "integer", "minimum": 0.5, "exclusiveMaximum": 3}, [1, 2]), ({"type": "integer", "minimum": 1}, None),
        ({"type": "integer", "minimum": 0, "maximum": 10**9}, None), ({"type": ["boolean", "null"]}, None),
    ],
)  # fmt: skip
def test_finite_values(schema: Any, values: list[Any] | None) -> None:
    assert finite_values(schema, Scope(True)) == values
