"""Reads the tables of a space file: what each command leaves fixed, and what varies."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, replace
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import numpy as np

from lmcraft.config import Setting, settings_of
from lmcraft.errors import UserError
from lmcraft.hyperparameters.constraints import parse_constraint
from lmcraft.hyperparameters.space import Dimension, Space, describe
from lmcraft.hyperparameters.trial import Point, Value
from lmcraft.setting_values import convert_value

SEARCH_TABLE = "search"
SET_BY_THE_SEARCH = ("out", "resume", "seed")
RANGE_KEYS = ("low", "high", "choices", "log", "step", "default", "when")
CHECKED_POINTS = 10_000
MAX_WHOLE_NUMBER = 2**53  # that a float holds


def read_space(tables: Mapping[str, Any], commands: Mapping[str, type], constraints: Sequence[str] = ()) -> Space:
    """The space that the tables of a file describe; the table `search` is not for it.

    Args:
        tables: the file as `tomllib` reads it.
        commands: the configuration of each command that a trial can run, by the name of its table.
        constraints: expressions that must be true of a point.

    Raises:
        UserError: something is unknown, empty or impossible.
    """
    settings: dict[str, dict[str, Any]] = {}
    dimensions: list[Dimension] = []
    for command, table in tables.items():
        if command == SEARCH_TABLE:
            continue
        if not isinstance(table, Mapping):
            raise UserError(f"{command}={table!r} is not in the table of a command: put it under [{next(iter(commands))}]")
        if command not in commands:
            raise UserError(f"there is no command {command!r} for a trial: {_nearest(command, commands)}")
        fixed, varying = _read_table(command, table, settings_of(commands[command]))
        settings[command] = fixed
        dimensions += varying
    if not dimensions:
        raise UserError('nothing varies: give a setting a range, such as depth = { low = 1, high = 4 } under "[pretrain]"')
    space = Space(settings=settings, dimensions=_in_order(dimensions))
    parsed = [parse_constraint(text, lambda name: getattr(space.dimension(name), "name", None)) for text in constraints]
    space = replace(space, constraints=parsed)
    _check_constraints(space)
    return space


def _read_table(
    command: str, table: Mapping[str, Any], settings: Mapping[str, Setting]
) -> tuple[dict[str, Any], list[Dimension]]:
    """The fixed settings and the dimensions of a command."""
    fixed: dict[str, Any] = {}
    dimensions: list[Dimension] = []
    for name, value in _leaves(table, settings):
        full = f"{command}.{name}"
        if get_origin(getattr(settings.get(name), "hint", None)) is dict and _has_ranges(value):
            entries = _read_entries(command, name, value, settings[name])
            fixed |= {key: entry for key, entry in entries.items() if not isinstance(entry, Dimension)}
            dimensions += [entry for entry in entries.values() if isinstance(entry, Dimension)]
            continue
        if name in SET_BY_THE_SEARCH:
            raise UserError(f"{full}={value!r} is set by the search itself: leave it out")
        if name not in settings:
            raise UserError(f"there is no setting {full!r}: {_nearest(name, settings)}")
        if isinstance(value, Mapping) and get_origin(settings[name].hint) is not dict:
            dimensions.append(_read_range(command, name, value, settings[name]))
        else:
            fixed[name] = value
    return fixed, dimensions


def _has_ranges(table: Any) -> bool:
    """Whether a setting that is a table of values, such as the weights of a mixture, has a range for one of them."""
    return isinstance(table, Mapping) and any(isinstance(value, Mapping) for value in table.values())


def _read_entries(command: str, name: str, table: Mapping[str, Any], setting: Setting) -> dict[str, Any]:
    """The entries of a setting that is a table, each a fixed value or a dimension, by their names."""
    hint = get_args(setting.hint)[1]
    entries = {}
    for key, value in table.items():
        if "." in key:
            raise UserError(f"{command}.{name}.{key} has a dot in its last name, so it cannot vary: rename it")
        is_range = isinstance(value, Mapping)
        entries[f"{name}.{key}"] = (
            _read_range(command, f"{name}.{key}", value, Setting(hint, MISSING)) if is_range else value
        )
    return entries


def _leaves(table: Mapping[str, Any], settings: Mapping[str, Setting], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The settings in a table and in its tables, by their names with dots."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        parts = [setting for setting in settings if setting.startswith(f"{name}.")]
        if parts and not isinstance(value, Mapping):
            raise UserError(f"{name}={value!r} is not a table: {name} is a group of settings, such as {parts[0]}")
        if parts:
            yield from _leaves(value, settings, f"{name}.")
        else:
            yield name, value


def _read_range(command: str, setting_name: str, table: Mapping[str, Any], setting: Setting) -> Dimension:
    """A dimension from `{ low, high, log, step }` or `{ choices }`, with `default` and `when`."""
    name = f"{command}.{setting_name}"
    if unknown := next((key for key in table if key not in RANGE_KEYS), None):
        raise UserError(f"{name} has {unknown!r}, which is no key of a range: {_nearest(unknown, RANGE_KEYS)}")
    if "choices" in table:
        if mixed := next((key for key in ("low", "high", "log", "step") if key in table), None):
            raise UserError(f"{name} has choices and {mixed}: leave one of them out")
        dimension = _read_choices(name, table["choices"], setting)
    else:
        dimension = _read_interval(name, table, setting)
    default = _default(dimension, table, setting)
    when = table.get("when", {})
    if not isinstance(when, Mapping) or ("when" in table and not when):
        raise UserError(f"{name}: when={when!r} is not a table of settings: write when = {{ SETTING = VALUE }}")
    conditions = {f"{command}.{key}": tuple(v if isinstance(v, list) else [v]) for key, v in when.items()}
    return replace(dimension, default=default, when=conditions)


def _read_choices(name: str, choices: Any, setting: Setting) -> Dimension:
    if not isinstance(choices, list) or not all(isinstance(choice, bool | int | float | str) for choice in choices):
        raise UserError(f"{name}: choices={choices!r} is not a list of numbers, texts, true or false: write one")
    values = [_fit(name, "choice", choice, setting) for choice in choices]
    if len(values) < 2:
        raise UserError(f"{name} has {len(values)} of 2 choices needed: add one, or set the value without a range")
    if repeated := [value for index, value in enumerate(values) if value in values[:index]]:
        raise UserError(f"{name} has the choice {repeated[0]!r} twice: leave one of them out")
    if not any(isinstance(value, bool | str) for value in values):
        values.sort()
    return Dimension(name=name, kind="categorical", choices=tuple(values))


def _read_interval(name: str, table: Mapping[str, Any], setting: Setting) -> Dimension:
    kind = _number_kind(setting.hint)
    if kind is None:
        raise UserError(f"{name} is not a number and needs choices: write {{ choices = [...] }}")
    if missing := [key for key in ("low", "high") if key not in table]:
        raise UserError(f"{name} has a range without {' and '.join(missing)}: add it, or give choices")
    low, high = (_fit(name, key, table[key], setting) for key in ("low", "high"))
    log, step = table.get("log", False), table.get("step")
    if not isinstance(log, bool):
        raise UserError(f"{name}: log={log!r} is neither true nor false: write one of them")
    if low == high:
        raise UserError(f"{name}: low={low} and high={high} leave one value: widen the range, or set the value without one")
    if low > high:
        raise UserError(f"{name}: low={low} is above high={high}, so the range is empty: exchange them")
    if not math.isfinite(float(high) - float(low)) or (kind == "int" and max(-low, high) > MAX_WHOLE_NUMBER):
        raise UserError(f"{name}: the range from low={low} to high={high} is too wide for a computer's numbers: narrow it")
    if log and low <= 0:
        raise UserError(f"{name}: low={low} has no logarithm: begin above 0, or leave log out")
    if log and step is not None:
        raise UserError(f"{name}: step={step} does not go with log = true: leave one of them out")
    if step is not None:
        step = _fit(name, "step", step, setting)
        if step <= 0:
            raise UserError(f"{name}: step={step} is not positive: give the difference of two values")
    dimension = Dimension(name=name, kind=kind, low=low, high=high, log=log, step=step)
    count = dimension.count
    if count is not None and count > MAX_WHOLE_NUMBER:
        raise UserError(f"{name}: step={step} is too small for the range from low={low} to high={high}: leave it out")
    if count == 1:
        raise UserError(f"{name}: step={step} leaves one value from low={low} to high={high}: take a smaller step")
    last = high if count is None else float(dimension.value_at(count - 1))
    return replace(dimension, high=int(last) if kind == "int" else last)


def _number_kind(hint: Any) -> Literal["int", "float"] | None:
    """The kind of a setting that takes numbers, which may also be without a value."""
    options = [option for option in get_args(hint) or (hint,) if option is not NoneType]
    return "int" if options == [int] else "float" if options == [float] else None


def _fit(name: str, key: str, value: Any, setting: Setting) -> Any:
    """The value as the setting takes it; a float for whole numbers of a setting with a fraction."""
    fitting = convert_value(setting.hint, value, f"{name}: {key}")
    return fitting if isinstance(fitting, bool | int | float | str) else value


def _default(dimension: Dimension, table: Mapping[str, Any], setting: Setting) -> Value | None:
    """The default that the range names, or the setting's own if it is in the range."""
    if "default" not in table:
        own = setting.default
        is_inside = own is not MISSING and isinstance(own, bool | int | float | str) and dimension.contains(own)
        return own if is_inside else None
    default: Value = _fit(dimension.name, "default", table["default"], setting)
    if not dimension.contains(default):
        raise UserError(f"{dimension.name}: default={default!r} is outside the range: give {describe(dimension)}")
    return default


def _in_order(dimensions: Sequence[Dimension]) -> list[Dimension]:
    """The dimensions, those that a condition names before those that have it.

    Raises:
        UserError: a condition names no dimension, a value that it cannot have, or itself.
    """
    space = Space(settings={}, dimensions=dimensions)
    resolved = {}
    for dimension in dimensions:
        when = {}
        for key, values in dimension.when.items():
            short = key.partition(".")[2]
            other = space.dimension(key) or space.dimension(short)
            if other is None:
                raise UserError(f"{dimension.name}: when names {short!r}, which is no range: {space.nearest(short)}")
            if other.count is None:
                raise UserError(f"{dimension.name}: when names {short!r}, a continuous range: give that a step, or choices")
            for value in values:
                if not isinstance(value, bool | int | float | str) or not other.contains(value):
                    raise UserError(f"{dimension.name}: when {short}={value!r} is never true: give {describe(other)}")
            when[other.name] = values
        resolved[dimension.name] = replace(dimension, when=when)
    try:
        order = list(TopologicalSorter({d.name: list(d.when) for d in resolved.values()}).static_order())
    except CycleError as error:
        raise UserError(f"the conditions {' -> '.join(error.args[1])} form a circle: leave one `when` out") from error
    # Dimensions keep the order of the file as far as their conditions allow it.
    depths = dict.fromkeys(order, 0)
    for name in order:
        depths[name] = max((depths[other] + 1 for other in resolved[name].when), default=0)
    return sorted(resolved.values(), key=lambda dimension: depths[dimension.name])


def _check_constraints(space: Space) -> None:
    """Raise UserError if none of many points satisfies the constraints."""
    if not space.constraints:
        return
    texts = " and ".join(f"'{constraint.text}'" for constraint in space.constraints)
    every = islice(space._combinations({}, 0), CHECKED_POINTS + 1) if space.is_finite else iter(())
    points = list(every)
    is_complete = 0 < len(points) <= CHECKED_POINTS
    if not any(space.allows(point) for point in (points if is_complete else _random_points(space))):
        raise UserError(f"no point of the space satisfies {texts}: relax the constraints, or widen the ranges")


def _random_points(space: Space) -> Iterator[Point]:
    for u_D in np.random.default_rng(0).random((CHECKED_POINTS, len(space.dimensions))):
        yield space.from_unit(u_D)


def _nearest(name: str, names: Collection[str]) -> str:
    near = get_close_matches(name, names, n=1)
    return f"is it {near[0]!r}?" if near else f"use one of {', '.join(names)}" if len(names) < 20 else "see its --help"
