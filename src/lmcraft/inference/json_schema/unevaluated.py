"""`unevaluatedProperties` and `unevaluatedItems`: what each combination of alternatives evaluates, and what it does not."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.inference.json_schema.scope import MAX_ALTERNATIVES, MAX_REFERENCE_DEPTH, Schema, Scope

_OTHERS = {"unevaluatedProperties": "additionalProperties", "unevaluatedItems": "items"}


@dataclass(frozen=True)
class _Case:
    """What is evaluated if a value fits some conditions."""

    conditions: tuple[Any, ...] = ()
    names: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    items: int = 0
    """Of these at the start of an array all are evaluated,"""
    contained: tuple[Any, ...] = ()
    """and of the others those that fit one of these."""
    everything: bool = False

    def __and__(self, other: "_Case") -> "_Case":
        return _Case(
            self.conditions + other.conditions, self.names | other.names, self.patterns | other.patterns,
            max(self.items, other.items), self.contained + other.contained, self.everything or other.everything,
        )  # fmt: skip

    @property
    def evaluates(self) -> bool:
        return bool(self.names or self.patterns or self.items or self.contained or self.everything)


def flatten_unevaluated(schema: dict[str, Any], scope: Scope) -> None:
    """Replace the keywords `unevaluated...` of a schema whose parts are not rewritten yet.

    Raises:
        SchemaError: the schema has too many alternatives, or refers to itself.
    """
    for keyword, others in _OTHERS.items():
        value = schema.pop(keyword, True)
        if value is True or others in schema:
            continue
        cases = _cases(schema, keyword, scope)
        if len(cases) > MAX_ALTERNATIVES:
            raise scope.error(keyword, f"depends on more than {MAX_ALTERNATIVES} combinations of alternatives; use {others}")
        if cases == [_own_case(schema, keyword)] and not cases[0].contained:
            schema[others] = value
            continue
        choices = [_close(case, keyword, value) for case in cases]
        if {} not in choices:
            schema["allOf"] = [*schema.get("allOf", []), choices[0] if len(choices) == 1 else {"anyOf": choices}]


def _close(case: _Case, keyword: str, value: Schema) -> dict[str, Any]:
    """The conditions of a case, and a schema for what it does not evaluate."""
    schema: dict[str, Any] = {"allOf": list(case.conditions)} if case.conditions else {}
    if case.everything:
        return schema
    if keyword == "unevaluatedItems":
        rest = {"anyOf": [value, *case.contained]} if case.contained else value
        return schema | {"prefixItems": [True] * case.items, "items": rest}
    patterns = {"patternProperties": dict.fromkeys(sorted(case.patterns), True)} if case.patterns else {}
    return schema | {"properties": dict.fromkeys(sorted(case.names), True), **patterns, "additionalProperties": value}


def _cases(schema: Schema, keyword: str, scope: Scope, depth: int = 0) -> list[_Case]:
    """What a schema evaluates, for each combination of alternatives. A value that it fits has one of these, or several."""
    scope.count_step()
    if not isinstance(schema, dict):
        return [_Case()]
    if depth > MAX_REFERENCE_DEPTH:
        raise scope.error(
            keyword, f"cannot be enforced on a schema that refers to itself, or is nested deeply; use {_OTHERS[keyword]}"
        )

    def of(part: Schema) -> list[_Case]:
        return _cases(part, keyword, scope, depth + 1)

    def chosen(part: Schema, *conditions: Schema) -> list[_Case]:
        return [_Case(conditions) & case for case in of(part) if case.evaluates]

    groups = [of(part) for part in schema.get("allOf", [])]
    if "$ref" in schema:
        groups.append(of(scope.resolve(schema["$ref"]) or False))
    groups += [[_Case(), *chosen(part, part)] for part in schema.get("anyOf", [])]
    groups.append([_Case(), *(case for part in schema.get("oneOf", []) for case in chosen(part, part))])
    for name, part in schema.get("dependentSchemas", {}).items():
        groups.append([_Case(), *chosen(part, {"type": "object", "required": [name]})])
    if "if" in schema:
        condition = schema["if"]
        fits = {"allOf": [condition, schema.get("then", True)]}
        groups.append([_Case(), *chosen(fits, condition), *chosen(schema.get("else", True), {"not": condition})])
    cases = [_own_case(schema, keyword)]
    for group in groups:
        cases = _combine(cases, group, scope)
    return cases


def _combine(first: Sequence[_Case], second: Iterable[_Case], scope: Scope) -> list[_Case]:
    cases = []
    for case in second:
        for other in first:
            scope.count_step()
            cases.append(other & case)
    return cases


def _own_case(schema: dict[str, Any], keyword: str) -> _Case:
    if keyword == "unevaluatedItems":
        contained = (schema["contains"],) if "contains" in schema else ()
        return _Case(items=len(schema.get("prefixItems", [])), contained=contained,
                     everything="items" in schema or keyword in schema)  # fmt: skip
    return _Case(
        names=frozenset(schema.get("properties", {})),
        patterns=frozenset(schema.get("patternProperties", {})),
        everything="additionalProperties" in schema or keyword in schema,
    )
