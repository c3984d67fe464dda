"""`unevaluated...`: what other keywords evaluate depends on the alternatives that a value fits."""

from typing import Any

import pytest

pytest.importorskip("llguidance")

from tests.inference.json_schema.matching import Grammar

A, B = {"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"properties": {"b": {"type": "null"}}, "required": ["b"]}
CLOSED: dict[str, Any] = {"type": "object", "unevaluatedProperties": False}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"properties": {"a": True}, "unevaluatedProperties": False}, [{"a": 1}, {}], [{"b": 1}]),
        ({"prefixItems": [{"type": "null"}], "unevaluatedItems": False}, [[None]], [[None, 1]]),
        (CLOSED | {"allOf": [A, B]}, [{"a": None, "b": None}], [{"a": None, "b": None, "c": None}, {"a": None}]),
        (CLOSED | {"$ref": "#/$defs/A", "properties": {"c": True}, "$defs": {"A": A}}, [{"a": None, "c": 1}], [{"a": 1}]),
        (CLOSED | {"anyOf": [A, B]}, [{"a": None}, {"b": None}, {"a": None, "b": None}],
         [{}, {"a": None, "b": 1}, {"a": None, "c": 1}]),
        (CLOSED | {"oneOf": [A, B]}, [{"a": None}, {"b": None}], [{}, {"a": None, "b": None}, {"a": None, "c": 1}]),
        (CLOSED | {"anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": True, "b": True}},
         [{"a": 1}, {"a": 1, "b": 1}], [{}, {"a": 1, "c": 1}]),
        (CLOSED | {"if": A, "then": {"properties": {"x": True}}, "else": {"properties": {"y": True}}},
         [{"a": None, "x": 1}, {"y": 1}, {}], [{"a": None, "y": 1}, {"x": 1}, {"a": 1}]),
        (CLOSED | {"properties": {"k": True}, "dependentSchemas": {"k": A}}, [{"k": 1, "a": None}], [{"a": None}, {"k": 1}]),
        ({"dependentSchemas": {"k": {"prefixItems": [True]}}, "unevaluatedItems": False}, [[], {"k": 1}], [[1]]),
        (CLOSED | {"properties": {"k": True}, "not": A}, [{"k": 1}], [{"a": None}, {"a": 1}]),
        (CLOSED | {"allOf": [{"patternProperties": {"^x": True}}]}, [{"xy": 1}], [{"y": 1}]),
        (CLOSED | {"allOf": [{"additionalProperties": {"type": "null"}}]}, [{"z": None}], [{"z": 1}]),
        (CLOSED | {"allOf": [A | {"unevaluatedProperties": True}]}, [{"a": None, "z": 1}], [{"z": 1}]),
        (CLOSED | {"allOf": [A | CLOSED], "properties": {"c": True}}, [{"a": None}], [{"a": None, "c": 1}]),
        ({"allOf": [A], "unevaluatedProperties": {"type": "string"}}, [{"a": None, "z": "x"}], [{"a": None, "z": 1}]),
        ({"allOf": [True], "unevaluatedProperties": False}, [{}, 1], [{"a": 1}]),
        ({"prefixItems": [{"const": 1}], "unevaluatedItems": False,
          "anyOf": [{"prefixItems": [True, {"const": 2}]}, {"prefixItems": [True, True, {"const": 3}]}]},
         [[1], [1, 2], [1, 5, 3], [1, 2, 3], [1, 5]], [[1, 2, 4], [1, 5, 4], [1, 5, 3, 0]]),
        ({"allOf": [{"items": {"type": "null"}}], "unevaluatedItems": False}, [[None]], [[1]]),
        ({"contains": {"type": "null"}, "unevaluatedItems": {"type": "string"}}, [[None, "a", None]], [["a"], [None, 1]]),
    ],
)  # fmt: skip
def test_what_is_not_evaluated(schema: Any, valid: list[Any], invalid: list[Any]) -> None:
    grammar = Grammar(schema)
    assert [value for value in valid if not grammar.accepts(value)] == []
    assert [value for value in invalid if grammar.accepts(value)] == []


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (
            {"anyOf": [{"properties": {str(n): True}} for n in range(9)], "unevaluatedProperties": False},
            "more than 64 combinations",
        ),
        (
            {"allOf": [{"$ref": "#"}], "unevaluatedProperties": {"type": "string"}},
            "refers to itself, or is nested deeply; use additionalProperties|circular",
        ),
        ({"if": {"multipleOf": 2}, "else": A, "unevaluatedProperties": False}, "cannot be negated"),
    ],
)
def test_what_cannot_be_enforced_is_refused(schema: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Grammar(schema)
