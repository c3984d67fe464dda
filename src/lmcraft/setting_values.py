"""The values of settings: converted to the types of their fields, or refused with what the field takes."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from lmcraft.errors import UserError
from lmcraft.quantities import Quantity
from lmcraft.scalars import as_python
from lmcraft.standard_streams import check_utf8

_MISMATCH = object()


def converted_fields(config: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a dataclass whose values had to be converted to their types, those of nested dataclasses included."""
    converted = {}
    for name, hint in field_types(config.__class__).items():
        value = getattr(config, name)
        result: Any = convert_value(hint, value, f"{prefix}{name}")
        for text in _texts_of(result):
            check_utf8(text, f"{prefix}{name}")
        if is_group(result) and (changes := converted_fields(result, f"{prefix}{name}.")):
            result = replace(result, **changes)
        if result is not value:
            converted[name] = result
    return converted


def convert_value(hint: Any, value: Any, name: str) -> Any:
    """`value` as an instance of `hint`; the same object if nothing has to change.

    Raises:
        UserError: it does not fit; the message begins with `name`.
    """
    result = _convert(hint, value)
    if result is _MISMATCH:
        raise UserError(f"{name}={value!r} is not {_describe(hint)}")
    return result


def _texts_of(value: Any) -> Iterator[str | Path]:
    """The texts and paths in a setting: all may be recorded in files, which are UTF-8."""
    if isinstance(value, str | Path):
        yield value
    elif isinstance(value, tuple | dict):
        for item in (*value, *(value.values() if isinstance(value, dict) else ())):
            yield from _texts_of(item)


def is_group(value: Any) -> bool:
    """Whether a value is a group of settings, or a class of them."""
    return is_dataclass(value)


@cache
def field_types(cls: Any) -> dict[str, Any]:
    """The types of a dataclass's fields."""
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in fields(cls)}


def _convert(hint: Any, value: Any) -> Any:
    """`value` as an instance of `hint`, or `_MISMATCH`. The same object is returned if nothing has to change."""
    value, origin, arguments = as_python(value), get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        return next((v for option in arguments if (v := _convert(option, value)) is not _MISMATCH), _MISMATCH)
    if origin is Literal:
        return value if value in arguments else _MISMATCH
    if origin is tuple and arguments[-1] is ...:
        items = (value,) if isinstance(value, str | os.PathLike) else value
        if not isinstance(items, list | tuple):
            return _MISMATCH
        converted = tuple(_convert(arguments[0], item) for item in items)
        return value if converted == value else _MISMATCH if _MISMATCH in converted else converted
    if is_group(hint) and isinstance(value, Mapping) and value.keys() <= field_types(hint).keys():
        return hint(**value)
    if origin is list and isinstance(value, list):
        items = [_convert(arguments[0], item) for item in value]
        return _MISMATCH if _MISMATCH in items else value if items == value else items
    if origin is dict and isinstance(value, dict):
        table = {key: _convert(arguments[1], item) for key, item in value.items()}
        return value if table == value else _MISMATCH if _MISMATCH in table.values() else table
    if isinstance(origin, type):
        return value if isinstance(value, origin) else _MISMATCH
    if hint is Path and isinstance(value, str | os.PathLike):
        if not os.fspath(value):
            return _MISMATCH
        return expand_user(value)
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool) and hint is not bool:
        return _MISMATCH
    if isinstance(hint, type) and issubclass(hint, Quantity):
        return _MISMATCH if (quantity := hint.read(value)) is None else quantity
    if hint is float and isinstance(value, int | float):
        return _to_float(value)
    return value if not isinstance(hint, type) or isinstance(value, hint) else _MISMATCH


def _to_float(value: float) -> Any:
    """A number as a float; NaN, infinity and numbers beyond the range of floats fit no field."""
    try:
        number = float(value)
    except OverflowError:
        return _MISMATCH
    return number if math.isfinite(number) else _MISMATCH


def expand_user(path: str | os.PathLike[str]) -> Path:
    """A path without `~`, which the shell leaves in `--out=~/x`, and files and Python everywhere.

    A name that begins with `~` and is no user's, such as `~$notes.txt`, stays as it is.
    """
    path = path if isinstance(path, Path) else Path(path)
    try:
        return path.expanduser() if path.parts[:1] and path.parts[0].startswith("~") else path
    except RuntimeError:  # there is no such user
        return path


def _describe(hint: Any) -> str:
    """A type in words, for an error."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(_describe(option) for option in arguments if option is not NoneType)
    if origin is Literal:
        return f"one of {', '.join(map(repr, arguments))}"
    if origin in (tuple, list):
        return f"a list whose items are {_describe(arguments[0])}"
    if origin is dict:
        return "a table" if arguments[1] is Any else f"a table in which each value is {_describe(arguments[1])}"
    names = {
        int: "a whole number",
        float: "a finite number",
        bool: "True or False",
        str: "a string",
        Path: "a path",
    }
    if isinstance(hint, type) and issubclass(hint, Quantity):
        return hint.takes
    if is_group(hint):
        return f"a dict with these settings: {', '.join(field_types(hint))}"
    return names.get(hint, f"a {getattr(origin or hint, '__name__', hint)}")
