"""Checks of model settings, which may come from an untrusted config.json: their types and sizes."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from math import isfinite
from typing import Annotated, Any, Literal, get_args, get_origin

from lmcraft.errors import UserError

MAX_SIZE = 2**28  # upper bound of every size, so that a product of two cannot overflow
MAX_LAYERS = 2**12
MAX_NUMBER = 1e18  # upper bound of every other number, so that a whole one fits into 64 bits


def check_types(config: Any) -> None:
    """Raise UserError for a value of a configuration, or of one of its groups, that does not have its field's type."""
    for name, value, expected in _settings(config):
        if isinstance(value, float) and not isfinite(value):
            raise UserError(f"model.{name}={value!r} must be finite: set a number")
        if not _fits(value, expected):
            raise UserError(f"model.{name}={value!r} is invalid; it must be of type {_name(expected)}")
    check_sizes(type(config), {name: value for name, value, _ in _settings(config)})


def check_sizes(config_class: Any, values: Mapping[str, Any]) -> None:
    """Raise UserError for a whole number that is too large; called before anything is built from it.

    Args:
        config_class: the configuration's class.
        values: settings by name, `mamba.num_heads` if they belong to a group.
    """
    whole_numbers = _whole_numbers(config_class)
    for name, value in values.items():
        if not isinstance(value, int) or name not in whole_numbers:
            continue
        limit = MAX_LAYERS if name == "num_hidden_layers" else MAX_SIZE
        if abs(value) > limit:
            raise UserError(f"model.{name}={value} is too large; the maximum is {limit}")


@cache
def _whole_numbers(config_class: Any) -> frozenset[str]:
    """The settings whose type is or has int."""
    return frozenset(name for name, _, expected in _settings(config_class) if int in (expected, *get_args(expected)))


def _settings(group: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Name, value (the default in a class) and type of each setting, those of groups included."""
    for item in fields(group):
        value = getattr(group, item.name, None)
        yield f"{prefix}{item.name}", value, item.type
        if is_dataclass(value):
            yield from _settings(value, f"{prefix}{item.name}.")


def _fits(value: object, expected: Any) -> bool:
    """Whether a value has a type."""
    if get_origin(expected) is Annotated:
        return _fits(value, get_args(expected)[0])
    if get_origin(expected) is Literal:
        return value in get_args(expected)
    if get_origin(expected) is tuple:
        return isinstance(value, tuple) and all(_fits(item, get_args(expected)[0]) for item in value)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))


def _name(expected: Any) -> str:
    if get_origin(expected) is Annotated:
        return _name(get_args(expected)[0])
    return str(expected).removeprefix("typing.") if get_origin(expected) else str(expected.__name__)
