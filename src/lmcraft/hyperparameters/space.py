"""The space of a search: the settings that vary, under which conditions, and which points are allowed.

Shapes: D dimensions.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fractions import Fraction
from itertools import islice
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lmcraft.errors import UserError
from lmcraft.hyperparameters.constraints import Constraint
from lmcraft.hyperparameters.trial import Point, Value

MAX_GRID_POINTS = 100_000


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """A setting that varies: over a range of numbers, or over choices.

    All but a range of floats without `step` have a finite number of values in an order. Choices that are numbers are sorted.
    """

    name: str
    """Of the command and the setting, such as `pretrain.depth`."""
    kind: Literal["int", "float", "categorical"]
    low: float = 0
    high: float = 0
    """The largest value."""
    log: bool = False
    """Whether equal factors, not equal differences, are equally likely."""
    step: float | None = None
    """Difference of consecutive values; None: 1 of whole numbers, and no grid of others."""
    choices: Sequence[Value] = ()
    default: Value | None = None
    when: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    """The dimension is part of a point in which each of these dimensions has one of these values."""

    @property
    def count(self) -> int | None:
        """The number of values; None of a range of floats without `step`."""
        if self.kind == "categorical":
            return len(self.choices)
        if (step := self._exact_step) is None:
            return None
        return int((_exact(self.high) - _exact(self.low)) // step) + 1

    @property
    def _exact_step(self) -> Fraction | None:
        return _exact(self.step) if self.step is not None else Fraction(1) if self.kind == "int" else None

    @property
    def is_ordered(self) -> bool:
        """Whether the values are numbers."""
        return self.kind != "categorical" or not any(isinstance(choice, bool | str) for choice in self.choices)

    def value_at(self, index: int) -> Value:
        """The value with this index, of `count`."""
        if self.kind == "categorical":
            return self.choices[index]
        value = _exact(self.low) + index * (self._exact_step or 0)
        return int(value) if self.kind == "int" else float(value)

    def index_of(self, value: Value) -> int:
        """The index of the value, or of the nearest number."""
        if self.kind == "categorical":
            return list(self.choices).index(value)
        return round((_exact(value) - _exact(self.low)) / (self._exact_step or 1))

    def contains(self, value: Value) -> bool:
        """Whether the setting can have this value."""
        if self.kind == "categorical":
            return any(value == choice and isinstance(value, bool) == isinstance(choice, bool) for choice in self.choices)
        if isinstance(value, bool | str) or not self.low <= value <= self.high:
            return False
        return self.count is None or self.value_at(self.index_of(value)) == value

    def from_unit(self, u: float) -> Value:
        """The value at a share of the range, from 0 to 1: equal shares are equally likely."""
        count = self.count
        if self.log:
            low, high = self._log_range()
            value = math.exp(low + u * (high - low))
            value = min(max(value, self.low), self.high)
            return round(value) if self.kind == "int" else value
        if count is None:
            return self.low + u * (self.high - self.low)
        return self.value_at(min(int(u * count), count - 1))

    def to_unit(self, value: Value) -> float:
        """The share of the range at which the value is."""
        count = self.count
        if self.log:
            low, high = self._log_range()
            return (math.log(float(value)) - low) / (high - low)
        if count is None:
            return (float(value) - self.low) / (self.high - self.low)
        return (self.index_of(value) + 0.5) / count

    def _log_range(self) -> tuple[float, float]:
        """The logarithms of the ends; whole numbers have as much room on either side, so that the ends are as likely."""
        margin = 0.5 if self.kind == "int" else 0.0
        return math.log(self.low - margin), math.log(self.high + margin)


def _exact(value: Value) -> Fraction:
    """The decimal number as it is written, so that 3 steps of 0.1 are 0.3."""
    return Fraction(repr(float(value)) if isinstance(value, float) else value)


@dataclass(frozen=True, kw_only=True)
class Space:
    """What a search varies, and what it leaves as it is."""

    settings: Mapping[str, Mapping[str, Any]]
    """The fixed settings of each command of a trial, in the order in which the commands run, by their names in its file,
    such as `optimizer.name`."""
    dimensions: Sequence[Dimension]
    """Those that a condition names come before those that have the condition."""
    constraints: Sequence[Constraint] = ()

    def build(self, choose: Callable[[Dimension], Value], fixed: Point | None = None) -> Point:
        """A point: `fixed` and, for the other dimensions whose condition is true, what `choose` returns."""
        point: dict[str, Value] = {}
        for dimension in self.dimensions:
            if all(point.get(name) in values for name, values in dimension.when.items()):
                value = (fixed or {}).get(dimension.name)
                point[dimension.name] = choose(dimension) if value is None else value
        return point

    def from_unit(self, u_D: NDArray[np.float64], fixed: Point | None = None) -> Point:
        """The point at a position of the unit cube; constraints may exclude it."""
        shares = dict(zip((dimension.name for dimension in self.dimensions), u_D.tolist(), strict=True))
        return self.build(lambda dimension: dimension.from_unit(shares[dimension.name]), fixed)

    def to_unit(self, point: Point) -> NDArray[np.float64]:
        """The position of a point in the unit cube, (D,); 0.5 for a dimension that it does not have."""
        return np.array([d.to_unit(point[d.name]) if d.name in point else 0.5 for d in self.dimensions])

    def allows(self, point: Point) -> bool:
        """Whether the constraints hold."""
        return all(constraint.holds(point) for constraint in self.constraints)

    @property
    def is_finite(self) -> bool:
        """Whether every dimension has a finite number of values."""
        return all(dimension.count is not None for dimension in self.dimensions)

    def grid(self) -> Iterator[Point]:
        """Every point that the constraints allow.

        Raises:
            UserError: a range is continuous.
        """
        for dimension in self.dimensions:
            if dimension.count is None:
                raise UserError(f"{dimension.name} is a continuous range, which has no grid: give it a step, or choices")
        return filter(self.allows, self._combinations({}, 0))

    def _combinations(self, point: Point, index: int) -> Iterator[Point]:
        """The points that begin with the values of the dimensions before `index`."""
        if index == len(self.dimensions):
            yield point
            return
        dimension = self.dimensions[index]
        if not all(point.get(name) in values for name, values in dimension.when.items()):
            yield from self._combinations(point, index + 1)
            return
        for position in range(dimension.count or 0):
            yield from self._combinations({**point, dimension.name: dimension.value_at(position)}, index + 1)

    def grid_points(self) -> list[Point]:
        """The grid as a list.

        Raises:
            UserError: a range is continuous, or there are too many points.
        """
        points = list(islice(self.grid(), MAX_GRID_POINTS + 1))
        if len(points) > MAX_GRID_POINTS:
            raise UserError(f"the grid has more than {MAX_GRID_POINTS:,} points: take larger steps, or another sampler")
        return points

    def default_point(self) -> Point | None:
        """The point of the defaults; None if a dimension has none, or a constraint excludes the point."""
        if any(dimension.default is None for dimension in self.dimensions):
            return None
        point = self.build(lambda dimension: dimension.default)  # type: ignore[arg-type, return-value]
        return point if self.allows(point) else None

    def point_from(self, settings: Mapping[str, Any]) -> Point:
        """Values of dimensions, as they are or as texts from the command line, by full names or those of the command.

        Raises:
            UserError: there is no such dimension, or it cannot have the value.
        """
        point = {}
        for name, value in settings.items():
            dimension = self.dimension(name)
            if dimension is None:
                raise UserError(f"{name!r} is no range of the space: {self.nearest(name)}")
            point[dimension.name] = _parse_value(dimension, value)
        return point

    def dimension(self, name: str) -> Dimension | None:
        """The dimension with this name: the full one, or that of the setting if no other command has one so named."""
        named = [d for d in self.dimensions if d.name == name or d.name.partition(".")[2] == name]
        return named[0] if len(named) == 1 else None

    def nearest(self, name: str) -> str:
        """A remedy for a name that is no dimension's."""
        names = [dimension.name for dimension in self.dimensions]
        short = {name.partition(".")[2]: name for name in names}
        near = get_close_matches(name, [*names, *short], n=1)
        return f"is it {short.get(near[0], near[0])!r}?" if near else f"the ranges are {', '.join(names)}"

    def settings_at(self, point: Point) -> dict[str, dict[str, Any]]:
        """The settings of each command at a point, by their names in its file."""
        settings = {command: dict(fixed) for command, fixed in self.settings.items()}
        for name, value in point.items():
            command, _, setting = name.partition(".")
            settings[command][setting] = value
        return settings


def _parse_value(dimension: Dimension, value: Any) -> Value:
    """A value of the dimension, which may be written as a text."""
    for candidate in (value, *_readings(value)):
        if isinstance(candidate, bool | int | float | str) and dimension.contains(candidate):
            return float(candidate) if dimension.kind == "float" else candidate
    raise UserError(f"{dimension.name}={value} is outside the range: give {describe(dimension)}")


def _readings(value: Any) -> Iterator[Value]:
    """What a text can mean."""
    if not isinstance(value, str):
        return
    if value.lower() in ("true", "false"):
        yield value.lower() == "true"
    for read in (int, float):
        try:
            yield read(value)
        except ValueError:
            continue


def describe(dimension: Dimension) -> str:
    """The values of a dimension in words."""
    if dimension.kind == "categorical":
        return f"one of {', '.join(map(repr, dimension.choices))}"
    step = f" in steps of {dimension.step:g}" if dimension.step not in (None, 1) else ""
    number = "a whole number" if dimension.kind == "int" else "a number"
    return f"{number} from {dimension.low:g} to {dimension.high:g}{step}"
