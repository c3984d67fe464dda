"""Closes the objects of a schema: no properties other than the listed ones."""

from typing import Any

from lmcraft.inference.json_schema.scope import map_schemas

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

    map_schemas(schema, collect)
    return schema if any(map(_combines, schemas)) else map_schemas(schema, _close)


def _combines(schema: dict[str, Any]) -> bool:
    """Whether an object may have to fit two schemas that list properties."""
    parts = schema.get("allOf")
    has_parts = isinstance(parts, list) and len(parts) > 1
    return has_parts or len(schema.keys() & _COMBINING) + bool(schema.get("properties")) > 1


def _close(schema: dict[str, Any]) -> dict[str, Any]:
    is_open = "properties" in schema and not schema.keys() & _OPEN
    return {**schema, "additionalProperties": False} if is_open else schema
