"""Scrubs JSON values: texts, numbers and names of fields, each with the name of its field before it, as in a form."""

from collections.abc import Callable, Mapping
from itertools import chain, count
from typing import Any

from lmcraft.json_lines import format_json, parse_json

Change = Callable[[str], str | None]
"""A text as it is written; None if it is left out."""
DROPPED = object()


def change_json(value: Any, change: Change, name: str = "") -> Any:
    """A JSON value with its texts, numbers and names of fields changed; `DROPPED` if one of them is left out.

    Args:
        value: as a parser returns it.
        change: of a text.
        name: of the field that the value is in; `change` sees it before the value, since "ssn: 123456789" says what the
            number is. Empty: there is none, or it does not matter.
    """
    if isinstance(value, str):
        return _change_text(value, change, name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _change_number(value, change, name)
    if isinstance(value, list):
        items = [change_json(item, change, name) for item in value]
        return DROPPED if any(item is DROPPED for item in items) else items
    if isinstance(value, Mapping):
        fields: dict[str, Any] = {}
        for field, item in value.items():
            new_name, new_item = change(field), change_json(item, change, field)
            if new_name is None or new_item is DROPPED:
                return DROPPED
            fields[_unused_name(new_name, fields)] = new_item
        return fields
    return value


def _change_text(text: str, change: Change, name: str) -> Any:
    if text[:1] in ("{", "[") and "\\u" in text:  # JSON in a text, such as the arguments of a tool, with escaped characters
        try:
            inner = parse_json(text.encode())
        except ValueError:
            pass
        else:
            changed = change_json(inner, change, name)
            return changed if changed is DROPPED else text if changed == inner else format_json(changed)
    changed_text = _after_name(text, change, name)
    return DROPPED if changed_text is None else changed_text


def _change_number(number: float, change: Change, name: str) -> Any:
    """A number, such as that of a telephone; what it becomes is a text, unless it has digits only."""
    digits = str(int(number) if isinstance(number, int) or number.is_integer() else number)
    changed = _after_name(digits, change, name)
    if changed is None:
        return DROPPED
    if changed == digits:
        return number
    return int(changed) if changed.isascii() and changed.isdecimal() and changed[0] != "0" else changed


def _after_name(text: str, change: Change, name: str) -> str | None:
    label = f"{name}: " if name else ""
    changed = change(label + text)
    if changed is None or changed.startswith(label):
        return changed and changed.removeprefix(label)
    return change(text)


def _unused_name(name: str, fields: Mapping[str, Any]) -> str:
    """The name, with a number if a field has it already: redaction gives many names the same form."""
    return next(free for free in chain([name], (f"{name} {number}" for number in count(2))) if free not in fields)
