"""Conditions on the items of an array together, `contains` and `uniqueItems`, as alternatives of arrays."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

from lmcraft.inference.json_schema.exclusion import disjoint
from lmcraft.inference.json_schema.negation import INCOMPLETE, negate
from lmcraft.inference.json_schema.scope import (
    MAX_ALTERNATIVES,
    TYPES,
    Schema,
    SchemaError,
    Scope,
    require,
    type_name,
    value_key,
)

MAX_UNIQUE_ARRAYS = 2000
MAX_FINITE_VALUES = 64
MAX_CONTAINS_ITEMS = 16
"""Of these at the start of an array, some fit `contains`; arrays whose first such item comes later are not generated."""
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NO_ARRAY = {"type": [name for name in TYPES if name != "array"]}


def rewrite_contains(schema: dict[str, Any], scope: Scope) -> None:
    """`contains`: an alternative for each set of positions of the items that fit."""
    low, high = schema.pop("minContains", 1), schema.pop("maxContains", None)
    condition = schema.pop("contains", None)
    if condition is None or (low == 0 and high is None):
        return
    if condition is True:
        require(schema, {"minItems": low} | ({} if high is None else {"maxItems": high}))
        return
    if (condition is False and low > 0) or (high is not None and low > high):
        require(schema, _NO_ARRAY)
        return
    if condition is False:
        return
    try:
        others = True if high is None else negate(condition, scope)
    except SchemaError as error:
        raise scope.error("maxContains", f"cannot be enforced: {error}; leave it out") from error
    longest = schema.get("maxItems")
    length, counts = _search_space(low, high, longest)
    if not counts:
        raise scope.error("contains", f"cannot be enforced for {low} items; use prefixItems")
    choices: list[Schema] = [_NO_ARRAY]
    for count in counts:
        for positions in combinations(range(length), count):
            prefix = [condition if n in positions else others for n in range(max(positions, default=-1) + 1)]
            rest = {"items": others} if high is not None else {}
            choices.append({"type": "array", "prefixItems": prefix, "minItems": len(prefix), **rest})
    is_complete = longest is not None and length >= longest
    require(schema, {"anyOf": choices} | ({} if is_complete else {INCOMPLETE: "contains"}))


def _search_space(low: int, high: int | None, longest: int | None) -> tuple[int, list[int]]:
    """How many items from the start can be those that fit, and how many of them do, within MAX_ALTERNATIVES."""
    counts = [low] if high is None else list(range(low, min(high, MAX_CONTAINS_ITEMS) + 1))
    for length in range(min(MAX_CONTAINS_ITEMS, MAX_CONTAINS_ITEMS if longest is None else longest), -1, -1):
        if sum(math.comb(length, count) for count in counts) <= MAX_ALTERNATIVES:
            return length, [count for count in counts if count <= length]
    return 0, []


def rewrite_unique(schema: dict[str, Any], scope: Scope) -> None:
    """`uniqueItems`: a list of all arrays, where the items have few values; nothing where they always differ."""
    if schema.pop("uniqueItems", False) is not True or schema.get("maxItems", 2) <= 1:
        return
    prefix, rest = schema.get("prefixItems", []), schema.get("items", True)
    longest = schema.get("maxItems", len(prefix) if rest is False else None)
    if longest is not None and longest <= MAX_ALTERNATIVES and _all_differ([*prefix, *[rest] * longest][:longest], scope):
        return
    values = [finite_values(part, scope) for part in prefix]
    rest_values = [] if longest is not None and longest <= len(prefix) else finite_values(rest, scope)
    if rest_values is None or None in values:
        raise scope.error("uniqueItems", "cannot be enforced; leave it out, or list the values of the items (enum)")
    arrays: list[list[Any]] = []
    for array in _distinct([], values, rest_values, longest):
        if len(array) >= schema.get("minItems", 0):
            arrays.append(array)
        scope.count_step()
        if len(arrays) > MAX_UNIQUE_ARRAYS:
            raise scope.error("uniqueItems", f"has more than {MAX_UNIQUE_ARRAYS} arrays; set a smaller maxItems")
    for keyword in ("prefixItems", "items", "minItems", "maxItems"):
        schema.pop(keyword, None)
    require(schema, {"anyOf": [_NO_ARRAY, {"enum": arrays}]} if schema.get("type") != "array" else {"enum": arrays})


def _all_differ(parts: list[Schema], scope: Scope) -> bool:
    return all(disjoint(first, second, scope) for first, second in combinations(parts, 2))


def _distinct(array: list[Any], values: list[list[Any] | None], rest: list[Any], longest: int | None) -> Iterator[list[Any]]:
    """All arrays of different values that begin with `array`."""
    yield array
    if longest is not None and len(array) >= longest:
        return
    keys = {value_key(value) for value in array}
    for value in (values[len(array)] if len(array) < len(values) else rest) or []:
        if (key := value_key(value)) not in keys:
            keys.add(key)
            yield from _distinct([*array, value], values, rest, longest)


def finite_values(schema: Schema, scope: Scope) -> list[Any] | None:
    """The values of a schema, if it lists them and says nothing else."""
    if isinstance(schema, dict) and schema.keys() == {"$ref"} and (target := scope.resolve(schema["$ref"])) is not None:
        schema = target
    if schema is False:
        return []
    if not isinstance(schema, dict):
        return None
    facts = {keyword: value for keyword, value in schema.items() if keyword not in ("title", "description", "default")}
    if facts.get("type") == "integer" and facts.keys() - {"type"} and not facts.keys() - {"type", *_BOUNDS}:
        return _integers(facts)
    if facts.keys() - {"type", "enum", "const"}:
        return None
    finite: dict[object, list[Any]] = {"boolean": [False, True], "null": [None]}
    values = facts.get("enum", finite.get(str(facts.get("type"))))
    if "const" in facts:
        keys = None if values is None else {value_key(value) for value in values}
        values = [facts["const"]] if keys is None or value_key(facts["const"]) in keys else []
    return None if values is None else [value for value in values if _has_type(value, facts.get("type", TYPES))]


def _integers(bounds: dict[str, Any]) -> list[Any] | None:
    lower = [math.ceil(bounds["minimum"])] if "minimum" in bounds else []
    lower += [math.floor(bounds["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in bounds else []
    upper = [math.floor(bounds["maximum"])] if "maximum" in bounds else []
    upper += [math.ceil(bounds["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in bounds else []
    if not lower or not upper or min(upper) - max(lower) >= MAX_FINITE_VALUES:
        return None
    return list(range(max(lower), min(upper) + 1))


def _has_type(value: object, names: str | Sequence[str]) -> bool:
    is_integer = isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0
    names = [names] if isinstance(names, str) else names
    return type_name(value) in names or (is_integer and "integer" in names)
