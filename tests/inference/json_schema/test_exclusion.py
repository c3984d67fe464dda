"""Whether two schemas have no value in common."""

from typing import Any

import pytest

from lmcraft.inference.json_schema.exclusion import disjoint
from lmcraft.inference.json_schema.negation import INCOMPLETE
from lmcraft.inference.json_schema.scope import Scope

A, B = {"properties": {"k": {"const": "a"}}}, {"properties": {"k": {"enum": ["b", "c"]}}}
OBJECT = {"type": "object", "required": ["k"]}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (False, {}, True),
        ({}, {}, False),
        ({"type": "integer"}, {"type": "number"}, False),
        ({"type": ["integer", "null"]}, {"type": ["string", "boolean"]}, True),
        ({"const": 1}, {"const": True}, True),
        ({"const": 1}, {"enum": [1.0]}, False),
        ({"const": "a"}, {"type": "number"}, True),
        ({"type": "number", "maximum": 1}, {"type": "number", "minimum": 1}, False),
        ({"type": "number", "exclusiveMaximum": 1}, {"type": "number", "minimum": 1}, True),
        ({"maximum": 1}, {"minimum": 2}, False),  # both have all texts
        ({"type": "string", "maxLength": 1}, {"type": "string", "minLength": 2}, True),
        ({"type": "array", "maxItems": 1}, {"type": "array", "minItems": 2}, True),
        (OBJECT | A, OBJECT | B, True),
        ({"type": "object"} | A, OBJECT | B, True),
        ({"type": "object"} | A, {"type": "object"} | B, False),  # {} fits both
        (OBJECT, {"type": "object", "properties": {"x": {}}, "additionalProperties": False}, True),
        (OBJECT, {"type": "object", "properties": {"k": False}}, True),
        ({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, {"type": "string"}, True),
        ({"allOf": [{"type": "string"}]}, {"$ref": "#/$defs/n"}, True),
        ({"$ref": "#/$defs/n"}, {"$ref": "#/$defs/loop"}, False),
        ({"anyOf": [{"type": "null"}], INCOMPLETE: "x"}, {"type": "string"}, False),
    ],
)
def test_disjoint(first: Any, second: Any, expected: bool) -> None:
    scope = Scope({"$defs": {"n": {"type": "number"}, "loop": {"anyOf": [{"$ref": "#/$defs/loop"}, {"type": "integer"}]}}})
    assert disjoint(first, second, scope) == disjoint(second, first, scope) == expected
