"""Objects without properties other than the listed ones."""

from typing import Any

import pytest

from lmcraft.inference.json_schema import close_objects

LISTED = {"properties": {"a": {"type": "string"}}}
CLOSED = LISTED | {"additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (LISTED, CLOSED),
        ({"type": "object"}, {"type": "object"}),
        (True, True),
        (LISTED | {"additionalProperties": True}, LISTED | {"additionalProperties": True}),
        ({"properties": {"properties": LISTED}}, {"properties": {"properties": CLOSED}, "additionalProperties": False}),
        ({"items": LISTED, "$defs": {"properties": LISTED}}, {"items": CLOSED, "$defs": {"properties": CLOSED}}),
        ({"anyOf": [LISTED, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({"const": LISTED, "default": LISTED}, {"const": LISTED, "default": LISTED}),
        ({"allOf": [LISTED, LISTED]},) * 2,
        (LISTED | {"anyOf": [{"required": ["a"]}]},) * 2,
        (LISTED | {"$ref": "#/$defs/x"},) * 2,
        ({"items": LISTED, "prefixItems": [{"allOf": [LISTED, LISTED]}]},) * 2,
    ],
)
def test_close_objects(schema: Any, closed: Any) -> None:
    assert close_objects(schema) == closed
