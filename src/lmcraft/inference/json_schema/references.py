"""One schema without addresses: every reference points into `$defs`, and old spellings are written as in draft 2020-12.

`$id`, `$anchor` and `$dynamicAnchor` give schemas addresses. A `$dynamicRef` means the outermost schema of its name among
the resources that lead to it, so that a schema which is reached in several ways can have several definitions.
"""

import re
from typing import Any
from urllib.parse import unquote, urljoin

from lmcraft.inference.json_schema.patterns import translate_conditions
from lmcraft.inference.json_schema.scope import Schema, SchemaError, Scope, map_parts, require, steps_along

_ADDRESSES = ("$id", "$anchor", "$dynamicAnchor", "$schema", "$vocabulary", "$defs", "definitions")
_Names = tuple[tuple[str, int], ...]  # the schemas that dynamic references mean, by name, as ids


def resolve_references(schema: Schema) -> Schema:
    """The schema with all references as `#` or `#/$defs/...`, and only the definitions in use.

    Raises:
        SchemaError: a reference points to nothing in the schema, or a pattern cannot be used.
    """
    return _Document(schema).rewrite() if isinstance(schema, dict) else schema


class _Document:
    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._scope = Scope(root)
        self._addresses: dict[str, Any] = {}
        self._bases: dict[int, str] = {}
        """The address of the resource that a schema belongs to, by the schema's id."""
        self._dynamic: dict[str, dict[str, Any]] = {}
        """The dynamic anchors of each resource."""
        self._uses_dynamic = False
        self._definitions: dict[tuple[int, _Names], str] = {}
        self._pending: list[tuple[str, Any, _Names]] = []
        self._names = {"": 0}

    def rewrite(self) -> Schema:
        self._collect(self._root, "")
        names = self._enter((), self._bases[id(self._root)])
        self._definitions[id(self._root), names] = "#"
        result = self._copy(self._root, names, self._scope)
        definitions: dict[str, Schema] = {}
        while self._pending:
            name, target, target_names = self._pending.pop()
            definitions[name] = self._copy(target, target_names, self._scope.enter("$defs", name))
        return {**result, "$defs": definitions} if definitions else result

    def _collect(self, schema: Any, base: str) -> Any:
        if not isinstance(schema, dict):
            return schema
        self._scope.count_step()
        if isinstance(address := schema.get("$id"), str):
            if address.startswith("#"):  # an anchor, before draft 2019-09
                self._addresses.setdefault(f"{base}{address}", schema)
            else:
                base = _join(base, address).partition("#")[0]
                self._addresses.setdefault(base, schema)
        elif schema is self._root:
            self._addresses[base] = schema
        self._bases[id(schema)] = base
        for keyword in ("$anchor", "$dynamicAnchor"):
            if isinstance(anchor := schema.get(keyword), str):
                self._addresses.setdefault(f"{base}#{anchor}", schema)
        if isinstance(anchor := schema.get("$dynamicAnchor"), str):
            self._dynamic.setdefault(base, {}).setdefault(anchor, schema)
        self._uses_dynamic |= "$dynamicRef" in schema
        map_parts(schema, lambda part, *path: self._collect(part, base))
        return schema

    def _enter(self, names: _Names, base: str) -> _Names:
        """The names behind the border of a resource: those of outer resources win."""
        if not self._uses_dynamic:
            return ()
        inner = {name: id(schema) for name, schema in self._dynamic.get(base, {}).items()}
        return tuple(sorted((inner | dict(names)).items()))

    def _copy(self, schema: Any, names: _Names, scope: Scope) -> Any:
        if not isinstance(schema, dict):
            return schema
        scope.count_step()
        base = self._bases[id(schema)]
        names = self._enter(names, base)
        kept = {keyword: value for keyword, value in schema.items() if keyword not in _ADDRESSES}
        copy = map_parts(kept, lambda part, *path: self._copy(part, names, scope.enter(*path)))
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in copy:
                _refer(copy, self._definition(keyword, copy.pop(keyword), base, names, scope))
        return _modernize(copy, scope)

    def _definition(self, keyword: str, reference: object, base: str, names: _Names, scope: Scope) -> Schema:
        """A schema that refers to the definition which a reference means."""
        target = self._resolve(_join(base, reference)) if isinstance(reference, str) else None
        if target is None:
            reason = f"is {str(reference)[:200]!r}, which is not in the schema; put what it means into $defs"
            raise scope.error(keyword, reason)
        if isinstance(target, bool):
            return target
        anchor = str(reference).partition("#")[2]
        if keyword == "$dynamicRef" and target.get("$dynamicAnchor") == anchor and anchor in dict(names):
            target = self._by_id(dict(names)[anchor], anchor)
        names = self._enter(names, self._bases[id(target)])
        key = (id(target), names)
        if key not in self._definitions:
            name = self._new_name(str(reference))
            self._definitions[key] = f"#/$defs/{name}"
            self._pending.append((name, target, names))
        return {"$ref": self._definitions[key]}

    def _resolve(self, address: str) -> Any:
        document, _, fragment = address.partition("#")
        if not fragment.startswith("/"):
            return self._addresses.get(f"{document}#{unquote(fragment)}" if fragment else document)
        base = document
        steps = [self._addresses.get(document), *steps_along(self._addresses.get(document), fragment)]
        for step in steps:
            base = self._bases.get(id(step), base) if isinstance(step, dict) else base
        target = steps[-1]
        if isinstance(target, dict) and id(target) not in self._bases:
            self._collect(target, base)  # at a place that is no schema by itself, as OpenAPI's #/components/schemas
        return target if isinstance(target, bool | dict) else None

    def _by_id(self, target: int, anchor: str) -> Any:
        return next(schemas[anchor] for schemas in self._dynamic.values() if id(schemas.get(anchor)) == target)

    def _new_name(self, reference: str) -> str:
        name = re.sub("[^A-Za-z0-9_.-]+", "_", unquote(re.split("[/#]", reference.rstrip("/#"))[-1])) or "schema"
        self._names[name] = count = self._names.get(name, 0) + 1
        return name if count == 1 else self._new_name(f"{name}-{count}")


def _join(base: str, reference: str) -> str:
    if reference.startswith("#") or not reference:
        return f"{base}{reference}"
    try:
        return urljoin(base, reference)
    except ValueError:  # as the host "["
        return reference


def _refer(schema: dict[str, Any], target: Schema) -> None:
    if isinstance(target, bool) or "$ref" in schema:
        schema["allOf"] = [*schema.get("allOf", []), target]
    else:
        schema |= target


def _modernize(schema: dict[str, Any], scope: Scope) -> dict[str, Any]:
    """Keywords of older drafts and of OpenAPI 3.0 as those of draft 2020-12, and regular expressions as Rust's."""
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(schema.get(exclusive), bool) and schema.pop(exclusive) and bound in schema:
            schema[exclusive] = schema.pop(bound)
    rest = schema.pop("additionalItems", None)
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
        if rest is not None:
            schema["items"] = rest
    if schema.pop("nullable", False) is True and isinstance(types := schema.get("type"), str | list):
        schema["type"] = [*([types] if isinstance(types, str) else types), "null"]
    if isinstance(schema.get("pattern"), str):
        *conditions, schema["pattern"] = _translate(schema["pattern"], scope, "pattern")
        for condition in conditions:
            require(schema, {"pattern": condition})
    if isinstance(patterns := schema.get("patternProperties"), dict):
        translated: dict[str, Schema] = {}
        for name, value in patterns.items():
            pattern, *more = _translate(name, scope, "patternProperties")
            if more:
                raise scope.error("patternProperties", f"is {name[:40]!r}, but look-ahead cannot be enforced in names")
            translated[pattern] = {"allOf": [translated[pattern], value]} if pattern in translated else value
        schema["patternProperties"] = translated
    return schema


def _translate(pattern: str, scope: Scope, keyword: str) -> list[str]:
    try:
        return translate_conditions(pattern)
    except SchemaError as reason:
        raise scope.error(keyword, f"is {pattern[:40]!r}, but {reason}") from reason
