"""Schemas as Python values, where a part of one is, and what its references point to."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

Schema = bool | dict[str, Any]
TYPES = ("null", "boolean", "number", "string", "array", "object")
# Keywords with a schema, a list of schemas, and a map of schemas.
PARTS = ("items", "additionalItems", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames",
          "unevaluatedItems", "unevaluatedProperties")  # fmt: skip
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
MAX_REFERENCE_DEPTH = 12
MAX_STEPS = 40_000
MAX_ALTERNATIVES = 64


class SchemaError(ValueError):
    """A schema that is not valid, or that cannot be enforced."""


@dataclass(frozen=True)
class Scope:
    """Where a schema is: the schema that `#` refers to, and the path from the root, for errors."""

    root: Schema
    path: tuple[str, ...] = ()
    steps: "Counter[str]" = field(default_factory=Counter)
    """The work done so far, which all scopes of a schema share."""

    def enter(self, *parts: str | int) -> "Scope":
        return replace(self, path=(*self.path, *map(str, parts)))

    def count_step(self) -> None:
        """Raise SchemaError after too much work."""
        self.steps["total"] += 1
        if self.steps["total"] > MAX_STEPS:
            raise SchemaError("the schema is too complex: make it smaller, or split it")

    def error(self, keyword: str, reason: str) -> SchemaError:
        return SchemaError(f"{'.'.join((*self.path, keyword))} {reason}")

    def resolve(self, reference: object) -> Schema | None:
        """The schema at a reference of the form `#/...`; None for others, and for those that point to nothing."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return None
        target = [self.root, *steps_along(self.root, reference[1:])][-1]
        return target if isinstance(target, bool | dict) else None


def steps_along(value: Any, pointer: str) -> Iterator[Any]:
    """The values at each segment of a JSON pointer in a URI (RFC 6901); the last one is None if it points to nothing."""
    for part in unquote(pointer).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, list):
            value = value[int(key)] if key.isdecimal() and int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
        yield value


def map_parts(schema: dict[str, Any], change: Callable[..., Any]) -> dict[str, Any]:
    """A copy of a schema with `change(part, *path)` in place of each schema directly inside it."""
    copy = dict(schema)
    for keyword, value in schema.items():
        if keyword in LISTS and isinstance(value, list):
            copy[keyword] = [change(item, keyword, n) for n, item in enumerate(value)]
        elif keyword in MAPS and isinstance(value, dict):
            copy[keyword] = {name: change(item, keyword, name) for name, item in value.items()}
        elif keyword in PARTS:
            copy[keyword] = change(value, keyword)
    return copy


def map_schemas(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of a schema in which `change` has changed every schema, the inner ones first."""
    if not isinstance(schema, dict):
        return schema
    return change(map_parts(schema, lambda part, *path: map_schemas(part, change)))


def require(schema: dict[str, Any], condition: Schema) -> None:
    """Add a condition that values must fit, too."""
    schema["allOf"] = [*schema.get("allOf", []), condition]


def type_name(value: object) -> str:
    """The JSON type of a value."""
    if value is None:
        return "null"
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "object")


def value_key(value: object) -> object:
    """A hashable form of a JSON value, equal for values that JSON Schema takes for equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, list):
        return ("array", tuple(map(value_key, value)))
    if isinstance(value, Mapping):
        return ("object", frozenset((name, value_key(item)) for name, item in value.items()))
    return (type_name(value), value)
