"""Closes the objects of a schema: no properties other than the listed ones."""

from collections.abc import Callable
from typing import Any

from lmcraft.inference.json_schema.scope import LISTS, MAPS, PARTS

_OPEN = {"additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames", "minProperties"}
_COMBINING = {"allOf", "anyOf", "oneOf", "if", "not", "dependentSchemas", "$ref", "$dynamicRef"}


def close_objects(schema: Any) -> Any:
    """A copy in which every object that lists its properties, and says nothing about others, has no others.

    Returned unchanged if schemas for one object are combined, since each of them may list only some of its properties.
    """
    schemas: list[dict[str, Any]] = []

    def collect(part: dict[str, Any]) -> dict[str, Any]:
        schemas.append(part)
        return part

    _copy(schema, collect)
    return schema if any(map(_combines, schemas)) else _copy(schema, _close)


def _copy(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of a schema whose schemas are all changed."""
    if not isinstance(schema, dict):
        return schema
    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in LISTS and isinstance(value, list):
            copy[keyword] = [_copy(item, change) for item in value]
        elif keyword in MAPS and isinstance(value, dict):
            copy[keyword] = {name: _copy(item, change) for name, item in value.items()}
        elif keyword in PARTS:
            copy[keyword] = _copy(value, change)
    return change(copy)


def _combines(schema: dict[str, Any]) -> bool:
    """Whether an object may have to fit two schemas that list properties."""
    parts = schema.get("allOf")
    has_parts = isinstance(parts, list) and len(parts) > 1
    return has_parts or len(schema.keys() & _COMBINING) + bool(schema.get("properties")) > 1


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    is_open = "properties" in schema and not schema.keys() & _OPEN
    return {**schema, "additionalProperties": False} if is_open else schema
