"""Schemas as libraries write them: pydantic, zod, OpenAPI."""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest

pytest.importorskip("llguidance")
pytest.importorskip("pydantic")

from pydantic import BaseModel, Field, create_model

from tests.inference.json_schema.matching import Grammar

DRAFT_7 = "http://json-schema.org/draft-07/schema#"
PYDANTIC_DECIMAL = r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"  # of pydantic 2.12
ZOD_EMAIL = r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$"


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


class Node(BaseModel):
    value: int
    children: list["Node"] = []


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
ID = "2eb8aa08-aa98-41ea-b4aa-73b441d16380"


@pytest.mark.parametrize(
    ("kind", "valid", "invalid"),
    [
        (str | None, ["a", None], [1]),
        (Pet, [{"kind": "cat", "lives": 1}, {"kind": "dog"}], [{"kind": "cow"}, {"kind": "cat", "lives": "x"}, {}]),
        (dict[str, Cat], [{}, {"x": {"kind": "cat"}}], [{"x": {"kind": "dog"}}, []]),
        (dict[Literal["a", "b"], int], [{"a": 1}], [{"c": 1}]),
        (dict[Annotated[str, Field(pattern="^[a-z]+$")], int], [{"ab": 1}], [{"a": "x"}]),
        (Node, [{"value": 1, "children": [{"value": 2, "children": []}]}], [{"value": 1, "children": [{}]}]),
        (datetime, ["2024-01-02T03:04:05Z"], ["2024-01-02", 5]),
        (UUID, [ID], ["x"]),
        (Annotated[int, Field(ge=1, lt=10)], [1, 9], [0, 10, 1.5]),
        (Annotated[int, Field(ge=-(2**63), lt=2**63)], [0, -5], ["x", 1.5]),
        (Decimal, [1.5, "1.5"], [True, None]),
        (set[Color], [["red", "blue"], []], [["red", "red"], ["green"]]),
        (frozenset[Literal["a"]], [["a"]], [["a", "a"]]),
        (set[Annotated[int, Field(ge=1, le=5)]], [[5, 1]], [[1, 1], [6]]),
        (tuple[int, str, Color], [[1, "a", "red"]], [[1, "a"], [1, "a", "red", 1]]),
        (tuple[int, ...], [[], [1, 1]], [["a"]]),
    ],
    ids=str,
)
def test_pydantic(kind: Any, valid: list[Any], invalid: list[Any]) -> None:
    grammar = Grammar(create_model("Model", field=(kind, ...)).model_json_schema())
    assert [value for value in valid if not grammar.accepts({"field": value})] == []
    assert [value for value in [{"field": value} for value in invalid] if grammar.accepts(value)] == []


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "string", "pattern": PYDANTIC_DECIMAL}, ["1.5", "-.5"], ["", "-", "."]),
        ({"type": "string", "format": "email", "pattern": ZOD_EMAIL}, ["a.b@c.de"], [".a@b.de", "a..b@c.de", "a@b"]),
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "object", "nullable": True, "properties": {"a": {"type": "string"}}}, [None, {"a": "x"}], [{"a": 1}, 1]),
        ({"$ref": "#/components/schemas/A", "components": {"schemas": {"A": {"type": "string"}}}}, ["a"], [1]),
        ({"type": "number", "minimum": -3.4028234663852886e38, "maximum": 3.4028234663852886e38}, [1.5], ["x"]),
        ({"type": "integer", "minimum": -(2**53) + 1, "maximum": 2**53 - 1}, [5], [1.5]),
        ({"type": "array", "items": [{"type": "string"}, {"type": "null"}], "minItems": 2, "maxItems": 2},
         [["a", None]], [["a"], ["a", None, 1]]),
        ({"properties": {"a": {"properties": {"x": {"type": "null"}}}, "b": {"$ref": "#/properties/a"}}, "$schema": DRAFT_7},
         [{"b": {"x": None}}], [{"b": {"x": 1}}]),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}, {"properties": {"b": {"type": "null"}}}],
          "unevaluatedProperties": False, "$schema": "https://json-schema.org/draft/2019-09/schema#"},
         [{"a": None, "b": None}], [{"a": None, "c": 1}, {"b": 1}]),
        ({"type": "object", "example": {"a": 1}, "externalDocs": {"url": "x"}, "x-order": 1, "strict": True,
          "properties": {"a": {"type": "integer", "default": 1, "deprecated": True}}, "propertyOrdering": ["a"]},
         [{"a": 1}], [{"a": "x"}]),
    ],
)  # fmt: skip
def test_zod_and_openapi(schema: Any, valid: list[Any], invalid: list[Any]) -> None:
    grammar = Grammar(schema)
    assert [value for value in valid if not grammar.accepts(value)] == []
    assert [value for value in invalid if grammar.accepts(value)] == []
