"""Whether two schemas have no value in common."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf, nextafter
from typing import Any

from lmcraft.inference.json_schema.negation import INCOMPLETE
from lmcraft.inference.json_schema.scope import MAX_REFERENCE_DEPTH, TYPES, Schema, Scope, type_name, value_key


@dataclass
class _Facts:
    """What the values of a schema have in common; it may say less than the schema, never more."""

    types: set[str] = field(default_factory=lambda: {*TYPES, "integer"})
    """Here "number" stands for numbers that are not integers."""
    values: set[object] | None = None
    lower: dict[str, float] = field(default_factory=dict)
    upper: dict[str, float] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    properties: dict[str, list[Schema]] = field(default_factory=dict)
    closed: list[dict[str, Any]] = field(default_factory=list)
    """Schemas that allow no other properties than theirs."""


_LOWER_BOUNDS = {"minimum": "number", "exclusiveMinimum": "number", "minLength": "string", "minItems": "array"}
_UPPER_BOUNDS = {"maximum": "number", "exclusiveMaximum": "number", "maxLength": "string", "maxItems": "array"}


def disjoint(first: Schema, second: Schema, scope: Scope, depth: int = 0) -> bool:
    """Whether no value fits both schemas; false if that is not certain."""
    scope.count_step()
    if first is False or second is False:
        return True
    if first is True or second is True or depth > MAX_REFERENCE_DEPTH:
        return False
    sides = [list(_conjuncts(schema, scope)) for schema in (first, second)]
    for side, other in ((sides[0], second), (sides[1], first)):
        for schema in side:
            if "anyOf" in schema and all(disjoint(choice, other, scope, depth + 1) for choice in schema["anyOf"]):
                return True
    a, b = _facts(sides[0]), _facts(sides[1])
    common = a.types & b.types
    if not common or _values_excluded(a, b) or _values_excluded(b, a):
        return True
    if common <= {"integer", "number"}:
        return _ranges_apart(a, b, "number")
    if common == {"object"}:
        return _objects_apart(a, b, scope, depth) or _objects_apart(b, a, scope, depth)
    return len(common) == 1 and _ranges_apart(a, b, min(common))


def _conjuncts(schema: Schema, scope: Scope, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The schemas that a value of `schema` must fit all."""
    if not isinstance(schema, dict) or depth > MAX_REFERENCE_DEPTH or INCOMPLETE in schema:
        return
    scope.count_step()
    yield schema
    for part in schema.get("allOf", []):
        yield from _conjuncts(part, scope, depth + 1)
    if "$ref" in schema and (target := scope.resolve(schema["$ref"])) is not None:
        yield from _conjuncts(target, scope, depth + 1)


def _facts(schemas: Sequence[dict[str, Any]]) -> _Facts:
    facts = _Facts()
    for schema in schemas:
        if "type" in schema:
            names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
            facts.types &= {*names} | ({"integer"} if "number" in names else set())
        for values in ([schema["const"]] if "const" in schema else None, schema.get("enum")):
            if values is not None:
                keys = {value_key(value) for value in values}
                facts.values = keys if facts.values is None else facts.values & keys
                types = {type_name(value) for value in values}
                facts.types &= types | ({"integer"} if "number" in types else set())
        for keyword in schema.keys() & _LOWER_BOUNDS:
            bound = nextafter(schema[keyword], inf) if keyword.startswith("exclusive") else schema[keyword]
            facts.lower[_LOWER_BOUNDS[keyword]] = max(facts.lower.get(_LOWER_BOUNDS[keyword], -inf), bound)
        for keyword in schema.keys() & _UPPER_BOUNDS:
            bound = nextafter(schema[keyword], -inf) if keyword.startswith("exclusive") else schema[keyword]
            facts.upper[_UPPER_BOUNDS[keyword]] = min(facts.upper.get(_UPPER_BOUNDS[keyword], inf), bound)
        facts.required.update(schema.get("required", []))
        for name, value in schema.get("properties", {}).items():
            facts.properties.setdefault(name, []).append(value)
        if schema.get("additionalProperties") is False and not schema.get("patternProperties"):
            facts.closed.append(schema)
    return facts


def _values_excluded(a: _Facts, b: _Facts) -> bool:
    """Whether none of the values that `a` lists fits `b`."""
    if a.values is None:
        return False
    if b.values is not None:
        return not a.values & b.values
    types = b.types | ({"number"} if "integer" in b.types else set())
    return all(key[0] not in types for key in a.values if isinstance(key, tuple))


def _ranges_apart(a: _Facts, b: _Facts, name: str) -> bool:
    return any(x.upper.get(name, inf) < y.lower.get(name, -inf) for x, y in ((a, b), (b, a)))


def _objects_apart(a: _Facts, b: _Facts, scope: Scope, depth: int) -> bool:
    """Whether a property that `a` requires cannot be one that `b` allows."""
    for name in a.required:
        if any(name not in schema.get("properties", {}) for schema in b.closed):
            return True
        ours, theirs = a.properties.get(name, []), b.properties.get(name, [])
        if any(value is False for value in theirs):
            return True
        if ours and theirs and disjoint({"allOf": ours}, {"allOf": theirs}, scope, depth + 1):
            return True
    return False
