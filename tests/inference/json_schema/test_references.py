"""References by pointer, name and address, dynamic ones too, and the spellings of older drafts and of OpenAPI."""

from typing import Any

import pytest

pytest.importorskip("llguidance")

from lmcraft.inference.json_schema.references import resolve_references
from lmcraft.inference.json_schema.scope import SchemaError
from tests.inference.json_schema.matching import Grammar

TEXT, NUMBER = {"type": "string"}, {"type": "number"}
LIST = {"$id": "list", "items": {"$dynamicRef": "#item"}, "$defs": {"default": {"$dynamicAnchor": "item"}}}
TREE = {"$id": "tree", "$dynamicAnchor": "node", "type": "object",
        "properties": {"children": {"type": "array", "items": {"$dynamicRef": "#node"}}}}  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"$ref": "#/$defs/a%20b", "$defs": {"a b": TEXT}}, ["x"], [1]),
        ({"$ref": "#/components/schemas/A~1B", "components": {"schemas": {"A/B": TEXT}}}, ["x"], [1]),
        ({"$ref": "#name", "$defs": {"x": {"$anchor": "name"} | TEXT}}, ["x"], [1]),
        ({"$ref": "#name", "definitions": {"x": {"$id": "#name"} | TEXT}}, ["x"], [1]),
        ({"$ref": "item.json", "$id": "https://a.example/", "$defs": {"x": {"$id": "item.json"} | TEXT}}, ["x"], [1]),
        ({"$ref": "urn:x#/$defs/y", "$defs": {"x": {"$id": "urn:x", "$defs": {"y": TEXT}}}}, ["x"], [1]),
        ({"items": {"$id": "urn:x", "type": ["array", "null"], "items": {"$ref": "#"}}}, [[[None]], [None]], [[1], [[1]]]),
        ({"properties": {"a": TEXT, "b": {"$ref": "#/properties/a"}}}, [{"b": "x"}], [{"b": 1}]),
        ({"oneOf": [{"type": "null"}, {"items": {"$ref": "#/oneOf/0"}, "type": "array"}]}, [[None]], [[1]]),
        ({"properties": {"$ref": TEXT}}, [{"$ref": "a"}], [{"$ref": 1}]),
        ({"enum": [{"$ref": "#/x"}]}, [{"$ref": "#/x"}], [1]),
        ({"properties": {"a": {"$ref": "#/$defs/no"}}, "$defs": {"no": False}}, [{"b": 1}], [{"a": 1}]),
        # dynamic references
        ({"$ref": "list", "$defs": {"list": LIST, "x": {"$dynamicAnchor": "item"} | TEXT}}, [["a"]], [[1]]),
        ({"$ref": "list", "$defs": {"list": LIST, "x": {"$anchor": "item"} | TEXT}}, [["a"], [1]], []),
        (
            {
                "properties": {"texts": {"$ref": "texts"}, "numbers": {"$ref": "numbers"}},
                "$defs": {
                    "list": LIST,
                    "t": {"$id": "texts", "$ref": "list", "$defs": {"i": {"$dynamicAnchor": "item"} | TEXT}},
                    "n": {"$id": "numbers", "$ref": "list", "$defs": {"i": {"$dynamicAnchor": "item"} | NUMBER}},
                },
            },
            [{"texts": ["a"], "numbers": [1]}],
            [{"texts": [1]}, {"numbers": ["a"]}],
        ),
        (
            {"$dynamicAnchor": "node", "$ref": "tree", "properties": {"x": TEXT}, "unevaluatedProperties": False,
             "$defs": {"t": TREE | {"properties": {"children": {"items": {"$ref": "#"}}}}}},
            [{"x": "a", "children": [{"children": []}]}],
            [{"y": 1}],
        ),
        # older drafts and OpenAPI 3.0
        ({"items": [TEXT], "additionalItems": False}, [["a"], []], [[1], ["a", "a"]]),
        ({"items": [TEXT], "additionalItems": NUMBER}, [["a", 1]], [["a", "a"]]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [TEXT], "contains": NUMBER}, [["a", 1]], [["a"]]),
        ({"items": TEXT, "additionalItems": False}, [["a", "a"]], [[1]]),
        ({"type": "string", "nullable": True}, ["a", None], [1]),
        ({"type": "string", "nullable": False}, ["a"], [None]),
        ({"type": "string", "nullable": True, "enum": ["a"]}, ["a"], [None]),  # as OpenAPI 3.0.3 says
        ({"properties": {"nullable": TEXT}}, [{"nullable": "a"}], [{"nullable": 1}]),
        ({"type": "number", "minimum": 3, "exclusiveMinimum": True, "exclusiveMaximum": False}, [4], [3]),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, [{"a": 1, "b": 1}], [{"a": 1}, {"c": 1}]),
    ],
)  # fmt: skip
def test_references(schema: Any, valid: list[Any], invalid: list[Any]) -> None:
    grammar = Grammar(schema)
    assert [value for value in valid if not grammar.accepts(value)] == []
    assert [value for value in invalid if grammar.accepts(value)] == []


def test_only_definitions_in_use_are_left() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": TEXT, "c": {"$ref": "#/nowhere"}}}
    assert resolve_references(schema) == {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": TEXT}}


def test_equal_names_of_different_schemas() -> None:
    schema = {"properties": {"a": {"$ref": "#/x/A"}, "b": {"$ref": "#/y/A"}}, "x": {"A": TEXT}, "y": {"A": NUMBER}}
    grammar = Grammar(schema)
    assert grammar.accepts({"a": "x", "b": 1}) and not grammar.accepts({"a": 1}) and not grammar.accepts({"b": "x"})


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"$ref": "https://example.com/a.json"}, "ref is 'https://example.com/a.json', which is not in the schema"),
        (
            {"items": {"$ref": "#/$defs/a"}},
            r"items\.\$ref is '#/\$defs/a', which is not in the schema; put what it means into",
        ),
        ({"$dynamicRef": "#a"}, "dynamicRef is '#a', which is not in the schema"),
        ({"$ref": 5}, "ref is '5', which is not"),
        ({"$ref": "http://["}, "ref is 'http://"),
        ({"$ref": "#/$defs/a/0", "$defs": {"a": ["x"]}}, "which is not in the schema"),
        ({"patternProperties": {"(?i)a": True}}, r"patternProperties is '\(\?i\)a', but '\(\?i\)' at character 1 cannot be"),
        ({"items": {"pattern": "\\bfoo"}}, r"items\.pattern is .*bfoo', but \\b cannot be enforced"),
    ],
)
def test_what_points_to_nothing_is_an_error(schema: Any, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        resolve_references(schema)
