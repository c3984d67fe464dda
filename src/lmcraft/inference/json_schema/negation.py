"""The values that a schema excludes, as a schema."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from lmcraft.inference.json_schema.patterns import quote
from lmcraft.inference.json_schema.scope import MAX_REFERENCE_DEPTH, TYPES, Schema, SchemaError, Scope, type_name

ANNOTATIONS = {
    "$anchor", "$comment", "$defs", "$id", "$schema", "contentEncoding", "contentMediaType", "contentSchema", "default",
    "definitions", "deprecated", "description", "discriminator", "examples", "readOnly", "title", "writeOnly",
}  # fmt: skip
INCOMPLETE = "x-incomplete"
"""Names the keyword of which a schema has only some of the values; a negation would have some that are not allowed."""
_OF_OBJECTS = {"properties", "patternProperties", "additionalProperties"}
MAX_EXCLUDED_CHARS = 500
_OPPOSITE_BOUNDS: dict[str, tuple[str, Callable[[float], dict[str, Any]]]] = {
    "minimum": ("number", lambda bound: {"exclusiveMaximum": bound}),
    "maximum": ("number", lambda bound: {"exclusiveMinimum": bound}),
    "exclusiveMinimum": ("number", lambda bound: {"maximum": bound}),
    "exclusiveMaximum": ("number", lambda bound: {"minimum": bound}),
    "minLength": ("string", lambda bound: {"maxLength": bound - 1}),
    "maxLength": ("string", lambda bound: {"minLength": bound + 1}),
    "minItems": ("array", lambda bound: {"maxItems": bound - 1}),
    "maxItems": ("array", lambda bound: {"minItems": bound + 1}),
}


def negate(schema: Schema, scope: Scope, depth: int = 0, partial: bool = False) -> Schema:
    """The schema of all values that do not fit a normalized schema.

    If `partial`, some of these values may be missing where the schema has required properties: objects that lack one of
    those are there, but objects with other properties only if that is expressible.

    Raises:
        SchemaError: that is not expressible without `not`.
    """
    scope.count_step()
    if isinstance(schema, bool):
        return not schema
    if depth > MAX_REFERENCE_DEPTH:
        raise SchemaError("a schema that refers to itself cannot be negated")
    alternatives: list[Schema] = []
    missing = {}
    for keyword, values in schema.items():
        for value in [{name: part} for name, part in values.items()] if keyword == "properties" else [values]:
            try:
                alternatives += _negate_keyword(keyword, value, scope, depth, partial) if keyword not in ANNOTATIONS else []
            except SchemaError:
                if not partial or not schema.get("required") or keyword not in _OF_OBJECTS:
                    raise
                missing = {INCOMPLETE: keyword}
    return {"anyOf": alternatives, **missing} if missing else _any_of(alternatives)


def _negate_keyword(keyword: str, value: Any, scope: Scope, depth: int, partial: bool) -> list[Schema]:
    """Schemas that together have the values that break one keyword."""

    def negate_part(part: Schema) -> Schema:
        return negate(part, scope, depth + 1, partial)

    match keyword:
        case "type":
            return [_other_types(value if isinstance(value, list) else [value])]
        case "const" | "enum":
            return _other_values([value] if keyword == "const" else value)
        case "required":
            return [{"type": "object", "properties": {name: False}} for name in value]
        case "properties":
            negated = {name: negate_part(item) for name, item in value.items()}
            return [{"type": "object", "required": [name], "properties": {name: item}}
                    for name, item in negated.items() if item is not False]  # fmt: skip
        case "prefixItems":
            excluded = [negate_part(item) for item in value]
            return [{"type": "array", "prefixItems": [True] * n + [item], "minItems": n + 1}
                    for n, item in enumerate(excluded) if item is not False]  # fmt: skip
        case "allOf":
            return [negate_part(item) for item in value]
        case "anyOf":
            return [{"allOf": [negate_part(item) for item in value]}]
        case "$ref" if (target := scope.resolve(value)) is not None:
            return [negate_part(target)]
        case "additionalProperties" | "items" if value is True:
            return []
        case _ if keyword == INCOMPLETE:
            raise SchemaError(f"'{value}' cannot be negated")
    if keyword not in _OPPOSITE_BOUNDS:
        raise SchemaError(f"'{keyword}' cannot be negated")
    name, opposite = _OPPOSITE_BOUNDS[keyword]
    bounds = opposite(value)
    return [] if min(bounds.values()) < 0 and name != "number" else [{"type": name, **bounds}]


def _any_of(alternatives: Sequence[Schema]) -> Schema:
    possible = [schema for schema in alternatives if schema is not False]
    if not possible:
        return False
    return possible[0] if len(possible) == 1 else {"anyOf": possible}


def _other_types(names: Sequence[str]) -> Schema:
    if "integer" in names and "number" not in names:
        raise SchemaError("the type 'integer' cannot be negated")
    others = [name for name in TYPES if name not in names]
    return {"type": others} if others else False


def _other_values(values: Sequence[Any]) -> list[Schema]:
    """Schemas of all values other than these."""
    by_type: dict[str, list[Any]] = {}
    for value in values:
        by_type.setdefault(type_name(value), []).append(value)
    if composite := by_type.keys() & {"array", "object"}:
        raise SchemaError(f"a constant {min(composite)} cannot be negated")
    schemas: list[Schema] = [{"type": others}] if (others := [name for name in TYPES if name not in by_type]) else []
    schemas += [{"const": flag} for flag in (True, False) if "boolean" in by_type and flag not in by_type["boolean"]]
    if "string" in by_type:
        if sum(map(len, by_type["string"])) > MAX_EXCLUDED_CHARS:
            raise SchemaError(f"constants of more than {MAX_EXCLUDED_CHARS} characters cannot be negated")
        schemas.append({"type": "string", "pattern": pattern_except(by_type["string"])})
    if "number" in by_type:
        numbers = sorted(set(by_type["number"]))
        schemas.append({"type": "number", "exclusiveMaximum": numbers[0]})
        schemas += [{"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}
                    for low, high in pairwise(numbers)]  # fmt: skip
        schemas.append({"type": "number", "exclusiveMinimum": numbers[-1]})
    return schemas


def pattern_except(texts: Sequence[str]) -> str:
    """A regular expression (Rust's syntax) that matches all texts other than these."""
    return f"^{_rest_except(set(texts))}$"


def _rest_except(texts: set[str]) -> str:
    by_first: dict[str, set[str]] = {}
    for text in texts - {""}:
        by_first.setdefault(text[0], set()).add(text[1:])
    codes = "".join(f"\\u{{{ord(character):x}}}" for character in sorted(by_first))
    choices = [] if "" in texts else [""]
    choices.append(f"[^{codes}](?s:.)*" if codes else "(?s:.)+")
    choices += [f"{quote(first)}{_rest_except(rests)}" for first, rests in sorted(by_first.items())]
    return f"(?:{'|'.join(choices)})"
