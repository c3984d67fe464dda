"""The rules that rewrite a schema: each gets a schema whose parts are rewritten already, and changes one keyword."""

import math
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

from lmcraft.inference.json_schema.arrays import finite_values, rewrite_contains, rewrite_unique
from lmcraft.inference.json_schema.bounds import include_bounds
from lmcraft.inference.json_schema.exclusion import disjoint
from lmcraft.inference.json_schema.formats import MAX_HOSTNAME_LENGTH, PATTERNS
from lmcraft.inference.json_schema.negation import ANNOTATIONS, negate
from lmcraft.inference.json_schema.references import resolve_references
from lmcraft.inference.json_schema.scope import (
    LISTS,
    MAPS,
    MAX_ALTERNATIVES,
    PARTS,
    TYPES,
    Schema,
    SchemaError,
    Scope,
    map_parts,
    map_schemas,
    require,
)
from lmcraft.inference.json_schema.unevaluated import flatten_unevaluated
from lmcraft.json_lines import is_deeper

_COUNTS = ("minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties", "minContains", "maxContains")
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (lambda value: isinstance(value, str) or _is_names(value), "the name of a type, or a list of names"),
    "enum": (lambda value: isinstance(value, list), "a list of values"),
    "required": (lambda value: _is_names(value), "a list of names"),
    "pattern": (lambda value: isinstance(value, str), "a regular expression"),
    "dependentRequired": (lambda value: isinstance(value, dict) and all(map(_is_names, value.values())), "lists of names"),
    "dependencies": (lambda value: isinstance(value, dict), "a map"),
    **{name: (lambda value: _is_number(value), "a finite number") for name in _BOUNDS},
    **{name: (lambda value: _is_count(value), "a whole number of at least 0") for name in _COUNTS},
}
MAX_DEPTH = 120  # levels of arrays and objects; llguidance reads at most 127, some of which are its own
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
Rule = Callable[[dict[str, Any], Scope], None]


def normalize_schema(schema: Any) -> dict[str, Any]:
    """An equivalent schema without the keywords that llguidance does not know, or does not enforce.

    Raises:
        SchemaError: the schema is invalid, has no values, or has a keyword that cannot be enforced.
    """
    if is_deeper(schema, MAX_DEPTH):
        raise SchemaError(f"the schema is {TOO_DEEP}: put inner parts into $defs")
    try:
        document = resolve_references(schema)
        scope = Scope(document)
        normalized = _visit(document, scope)
    except RecursionError as error:
        raise SchemaError(f"the schema, with all that its references stand for, is {TOO_DEEP}") from error
    except (TypeError, AttributeError) as error:  # the target of a reference that is no part of the schema is not checked
        raise SchemaError(f"a part of the schema has a value of the wrong type ({error})") from error
    if normalized is False:
        raise SchemaError("the schema is false: no value fits it")

    def finish(part: dict[str, Any]) -> dict[str, Any]:
        scope.count_step()  # rules repeat parts, and those that are repeated may repeat theirs
        return include_bounds(part)

    return {} if isinstance(normalized, bool) else map_schemas(normalized, finish)


def _visit(schema: Any, scope: Scope) -> Schema:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise SchemaError(f"{'.'.join(scope.path) or 'the schema'} is no JSON schema, but {str(schema)[:40]!r}")
    scope.count_step()
    _check_values(schema, scope)
    result = dict(schema)
    flatten_unevaluated(result, scope)
    _drop_double_negation(result)
    result = map_parts(result, lambda part, *path: _visit(part, scope.enter(*path)))
    for rule in _RULES:
        rule(result, scope)
    return result


def _drop_double_negation(schema: dict[str, Any]) -> None:
    inner = schema.get("not")
    if isinstance(inner, dict) and "not" in inner and not inner.keys() - {"not", *ANNOTATIONS}:
        del schema["not"]
        require(schema, inner["not"])


def _check_values(schema: dict[str, Any], scope: Scope) -> None:
    for keyword, (is_valid, expected) in _VALUES.items():
        if keyword in schema and not is_valid(schema[keyword]):
            raise scope.error(keyword, f"is {str(schema[keyword])[:40]!r}, but must be {expected}")
    for keyword in schema.keys() & {*LISTS, *MAPS} - {*PARTS}:
        if not isinstance(schema[keyword], list if keyword in LISTS else dict):
            raise scope.error(keyword, f"must be a {'list' if keyword in LISTS else 'map'} of schemas")


def _is_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _is_count(value: object) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)  # type: ignore[operator, call-overload]


def _rewrite_counts(schema: dict[str, Any], scope: Scope) -> None:
    for keyword in schema.keys() & _COUNTS:
        schema[keyword] = int(schema[keyword])


def _rewrite_format(schema: dict[str, Any], scope: Scope) -> None:
    name = schema.pop("format", None)
    if isinstance(name, str) and name in PATTERNS:
        limit = {"maxLength": MAX_HOSTNAME_LENGTH} if name in ("hostname", "idn-hostname") else {}
        require(schema, {"pattern": f"^(?:{PATTERNS[name]})$", **limit})


def _rewrite_patterns(schema: dict[str, Any], scope: Scope) -> None:
    """`patternProperties`: patterns that allow what other names may have, too, are left out, so that fewer overlap."""
    patterns = schema.get("patternProperties")
    if patterns and schema.get("additionalProperties", True) is True:
        schema["patternProperties"] = {pattern: value for pattern, value in patterns.items() if value is not True}


def _rewrite_names(schema: dict[str, Any], scope: Scope) -> None:
    """`propertyNames`: the listed properties that fit, and a pattern for the others."""
    names = schema.pop("propertyNames", True)
    if names is True:
        return
    allowed = _string_values(names, scope)
    listed, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    if schema.get("patternProperties"):
        raise scope.error("propertyNames", "cannot be enforced beside patternProperties; put the names into those")
    if allowed is not None:
        schema["properties"] = {name: listed.get(name, others) for name in allowed} | {
            name: False for name in listed if name not in allowed
        }
        schema["additionalProperties"] = False
        return
    lengths = {"minLength", "maxLength"}
    if listed or not isinstance(names, dict) or names.keys() - {"type", "title", "pattern", *lengths}:
        raise scope.error("propertyNames", "cannot be enforced; give an enum, a pattern or a maximum length alone")
    if "pattern" in names and names.keys() & lengths:
        raise scope.error("propertyNames", "cannot have a pattern and a length; write the length into the pattern")
    upper = names.get("maxLength", "")
    pattern = names.get("pattern", f"^(?s:.){{{names.get('minLength', 0)},{upper}}}$")
    schema["patternProperties"], schema["additionalProperties"] = {pattern: others}, False


def _string_values(schema: Schema, scope: Scope) -> list[str] | None:
    """The strings that fit a schema, if it lists them."""
    if schema is False:
        return []
    values = finite_values(schema, scope)
    return None if values is None else [value for value in values if isinstance(value, str)]


def _rewrite_dependencies(schema: dict[str, Any], scope: Scope) -> None:
    """`dependentRequired` and `dependentSchemas`: the property is absent, or the rest holds."""
    conditions: dict[str, list[Schema]] = {}
    for name, names in schema.pop("dependentRequired", {}).items():
        conditions.setdefault(name, []).append({"required": names})
    for name, condition in schema.pop("dependentSchemas", {}).items():
        conditions.setdefault(name, []).append(condition)
    for name, value in schema.pop("dependencies", {}).items():  # drafts before 2019-09
        condition = {"required": value} if isinstance(value, list) else _visit(value, scope.enter("dependencies", name))
        conditions.setdefault(name, []).append(condition)
    for name, parts in conditions.items():
        require(schema, {"anyOf": [{"properties": {name: False}}, {"required": [name], "allOf": parts}]})


def _rewrite_condition(schema: dict[str, Any], scope: Scope) -> None:
    condition, then, other = (schema.pop(keyword, None) for keyword in ("if", "then", "else"))
    if condition is None or (then in (None, True) and other in (None, True)):
        return
    fits = {"allOf": [condition, True if then is None else then]}
    fails = {"allOf": [_negate(condition, "if", scope), True if other is None else other]}
    require(schema, {"anyOf": [fits, fails]})


def _rewrite_not(schema: dict[str, Any], scope: Scope) -> None:
    if "not" in schema:
        require(schema, _negate(schema.pop("not"), "not", scope))


def _negate(schema: Schema, keyword: str, scope: Scope) -> Schema:
    try:
        return negate(schema, scope)
    except SchemaError as error:
        raise scope.error(keyword, f"cannot be enforced: {error}") from error


def _rewrite_one_of(schema: dict[str, Any], scope: Scope) -> None:
    """`oneOf`: any of the branches, without the values of those that it overlaps."""
    branches = schema.pop("oneOf", None)
    discriminator = schema.pop("discriminator", None)
    if branches is None:
        return
    if isinstance(discriminator, dict) and isinstance(name := discriminator.get("propertyName"), str):
        branches = [{"allOf": [branch, {"required": [name]}]} for branch in branches]
    rest = {keyword: value for keyword, value in schema.items() if keyword != "$defs"}
    alternatives = []
    for n, branch in enumerate(branches):
        others = [
            other for m, other in enumerate(branches) if m != n and not disjoint({"allOf": [rest, branch]}, other, scope)
        ]
        try:
            excluded = [negate(other, scope, partial=True) for other in others]
        except SchemaError as error:
            remedy = "give each a required property with a constant of its own, or use anyOf"
            raise scope.error("oneOf", f"has alternatives that may overlap ({error}); {remedy}") from error
        alternatives.append({"allOf": [branch, *excluded]} if excluded else branch)
    require(schema, {"anyOf": alternatives})


def _rewrite_property_counts(schema: dict[str, Any], scope: Scope) -> None:
    """`minProperties` and `maxProperties`: alternatives with some of the optional properties present, others absent."""
    required, listed = set(schema.get("required", [])), schema.get("properties", {})
    optional = [name for name, value in listed.items() if name not in required and value is not False]
    is_closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    low, high = schema.pop("minProperties", 0), schema.pop("maxProperties", None)
    if is_closed and high is not None and high >= len(required) + len(optional):
        high = None
    if low <= len(required) and high is None:
        return
    bounds = {"minProperties": low} | ({} if high is None else {"maxProperties": high})
    if not is_closed and low - len(required) > 1:
        raise scope.error("minProperties", f"={low} cannot be enforced for names that are not listed; list them in required")
    if not optional and not is_closed:
        schema.update(bounds)
        return
    others = {"type": [name for name in TYPES if name != "object"]}
    if high is None and low - len(required) == 1:
        choices: list[Schema] = [{"type": "object", "required": [name]} for name in optional]
        if not is_closed:
            choices.append({"type": "object", "properties": dict.fromkeys(optional, False), **bounds})
    else:
        choices = _presences(optional, len(required), low, high, {} if is_closed else bounds, scope)
    require(schema, {"anyOf": [others, *choices]})


def _presences(
    optional: list[str], required: int, low: int, high: int | None, bounds: dict[str, Any], scope: Scope
) -> list[Schema]:
    """A schema for each set of optional properties that may be present together."""
    most = len(optional) if high is None else min(len(optional), high - required)
    sizes = range(0 if bounds else max(0, low - required), most + 1)
    if sum(math.comb(len(optional), size) for size in sizes) > MAX_ALTERNATIVES:
        keyword = "maxProperties" if high is not None else "minProperties"
        raise scope.error(keyword, f"has more than {MAX_ALTERNATIVES} combinations of properties; list fewer of them")
    return [
        {
            "type": "object",
            "required": list(names),
            "properties": {name: False for name in optional if name not in names},
            **bounds,
        }
        for size in sizes
        for names in combinations(optional, size)
    ]


_RULES: tuple[Rule, ...] = (
    _rewrite_counts,
    _rewrite_format,
    _rewrite_patterns,
    _rewrite_names,
    _rewrite_dependencies,
    _rewrite_condition,
    _rewrite_not,
    _rewrite_one_of,
    rewrite_contains,
    rewrite_unique,
    _rewrite_property_counts,
)
