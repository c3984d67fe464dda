"""Turns pydantic's errors into one sentence of ours: the field and the value as the client wrote them, and what to send."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import TOOL_NAME_PATTERN

Json = Mapping[str, Any]
MAX_VALUE_CHARS = 60  # of a value quoted in an error message
MISSING = ("missing", "union_tag_not_found")  # pydantic's names of the error
KINDS = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
}
"""What a value must be, by pydantic's name of the error."""
PATTERNS = {TOOL_NAME_PATTERN: "use 1 to 128 letters (a to z), digits, '_' and '-'"}
REMEDIES: dict[str, Callable[[Any, Json], str]] = {
    "literal_error": lambda _, ctx: f"use {ctx['expected']}",
    "greater_than": lambda _, ctx: f"use a number above {_spell(ctx['gt'])}",
    "greater_than_equal": lambda _, ctx: f"use at least {_spell(ctx['ge'])}",
    "less_than": lambda _, ctx: f"use a number below {_spell(ctx['lt'])}",
    "less_than_equal": lambda _, ctx: f"use at most {_spell(ctx['le'])}",
    "int_parsing_size": lambda _, ctx: "use a smaller number",
    "finite_number": lambda _, ctx: "use a finite number",
    "string_too_short": lambda _, ctx: f"use at least {_count(ctx['min_length'], 'character')}",
    "string_too_long": lambda value, ctx: f"it has {_count(len(value), 'character')}; use at most {ctx['max_length']:,}",
    "string_pattern_mismatch": lambda _, ctx: PATTERNS.get(ctx["pattern"], f"use a string that matches {ctx['pattern']}"),
    "too_short": lambda _, ctx: f"use at least {_count(ctx['min_length'], 'entry')}",
    "too_long": lambda value, ctx: f"it has {_count(len(value), 'entry')}; use at most {ctx['max_length']:,}",
    "value_error": lambda _, ctx: str(ctx["error"]),
}
"""What is wrong with a value of the right kind, and the remedy, by pydantic's name of the error."""


def as_api_error(errors: Sequence[Json], body: Any) -> ApiError:
    """The error (400) for a value that is not valid.

    Args:
        errors: pydantic's errors; each location begins with the part of the request: body, query or path.
        body: the body, if it was read.
    """
    located = [(_path(item, body), item) for item in errors]
    # A value that fits none of several types has errors for each; the type that it nearly fits fails deepest, or last.
    first_of_type: dict[tuple[str, ...], list[str | int]] = {}
    for path, item in located:
        first_of_type.setdefault(tuple(part for part in item["loc"] if isinstance(part, str)), path)
    path = max(first_of_type.values(), key=lambda path: (len(path), [part for part in path if isinstance(part, int)]))
    same = [item for other, item in located if other == path]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    first = next((item for item in same if item["type"] not in KINDS), same[0])
    context = {name: value for name, value in first.get("ctx", {}).items() if isinstance(value, str | int | float)}
    values = {"value": quote(first["input"]), **context, "rule": first["type"]}
    return ApiError(400, _describe(first, field, same), code=_code(first), param=field or None, values=values)


def unknown_call(field: str, call_id: str) -> ApiError:
    """The error for the result of a call that is not in the conversation."""
    message = f"{field}={quote(call_id)} belongs to no earlier call; send the message with the call before its result"
    return ApiError(400, message, code="invalid_value", param=field)


def _path(item: Json, body: Any) -> list[str | int]:
    """Where an error is in the body: its location without the names of types that pydantic puts between the fields."""
    source, *location = item["loc"]
    missing = [location.pop()] if item["type"] == "missing" and location else []
    if _is_about_tag(item):
        missing = [_discriminator(item)]
    return [*(_resolve(body, location, bool(missing))[0] if source == "body" else location), *missing]


def _is_about_tag(item: Json) -> bool:
    """Whether an object lacks the field that says what it is, or has a wrong one."""
    return item["type"].startswith("union_tag") and isinstance(item["input"], Mapping)


def _discriminator(item: Json) -> str:
    """The field that says what an object is."""
    name = str(item["ctx"]["discriminator"]).strip("'")
    return "type" if name.endswith("()") else name  # a function that reads it


def _resolve(value: Any, location: Sequence[str | int], is_object: bool) -> tuple[list[str | int], Any]:
    """The parts of a location that are fields of the value, and the value there.

    A part may be the name of a type, and that may be the name of a field, too.

    Args:
        value: the body, or a part of it.
        location: from there on.
        is_object: whether the value there must be an object, because it lacks a field.
    """
    if not location:
        return [], value
    part, rest = location[0], location[1:]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        path, inner = _resolve(value[part], rest, is_object)
        return [part, *path], inner
    as_type = _resolve(value, rest, is_object)
    if not isinstance(value, dict) or part not in value:
        return as_type
    path, inner = _resolve(value[part], rest, is_object)
    return max(
        ([part, *path], inner),
        as_type,
        key=lambda result: (not is_object or isinstance(result[1], dict), result[0][-1:] == [location[-1]], len(result[0])),
    )


def _code(item: Json) -> str:
    """OpenAI's error code."""
    if _is_missing(item):
        return "missing_required_parameter"
    return "unknown_parameter" if item["type"] == "extra_forbidden" else "invalid_type" if _kind(item) else "invalid_value"


def _is_missing(item: Json) -> bool:
    """Whether a field is missing; null means the same."""
    return item["type"] == "missing" or (_is_about_tag(item) and item["input"].get(_discriminator(item)) is None)


def _kind(item: Json) -> str | None:
    """What the value must be, if it is of another kind."""
    if item["type"] == "literal_error" and not isinstance(item["input"], str):
        return str(item["ctx"]["expected"])
    if item["type"].startswith("union_tag") and not _is_about_tag(item):
        return "an object"
    return KINDS.get(item["type"])


def _describe(first: Json, field: str, errors: Sequence[Json]) -> str:
    """One sentence about the errors of a field."""
    if _is_missing(first):
        return f"the field '{field}' is missing; add it" if field else "the body is missing; send one JSON object"
    if first["type"] == "extra_forbidden":
        return f"the field '{field}' is not supported; leave it out"
    if _is_about_tag(first):
        tag = quote(first["input"][_discriminator(first)])
        *others, last = first["ctx"]["expected_tags"].split(", ")
        return f"{field}={tag} is not supported; use {', '.join(others)} or {last}"
    value = f"{field or 'the body'}={quote(first['input'])}"
    if first["type"] == "unsupported":
        return f"{value} is not supported; {first['msg']}"
    remedies = [_remedy(item) for item in errors if _kind(item) is None]
    if not remedies:
        *others, last = dict.fromkeys(kind for item in errors if (kind := _kind(item)))
        remedies = [f"use {', '.join(others)} or {last}" if others else f"use {last}"]
    return f"{value} is invalid; {'; or '.join(dict.fromkeys(remedies))}"


def _remedy(item: Json) -> str:
    make = REMEDIES.get(item["type"])
    return "see /openapi.json" if make is None else make(item["input"], item.get("ctx", {}))


def _spell(number: float) -> str:
    return f"{int(number) if number == int(number) else number:,}"


def _count(number: int, noun: str) -> str:
    plural = noun if number == 1 else noun.removesuffix("y") + "ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def quote(value: Any) -> str:
    """A value as JSON, a text in single quotes; shortened."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + "..."
