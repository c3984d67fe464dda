"""Charts in words, for people who do not see them."""

from collections.abc import Sequence

from lmcraft.reports.axis import Axis, format_alike
from lmcraft.reports.language import say

MAX_DESCRIBED = 20  # series, or intervals

Points = Sequence[tuple[float, float]]
NamedCurve = tuple[str, Points]
"""The name, which may be empty, and the points."""
NamedInterval = tuple[str, float, float | None, float | None]
"""The name, the value, and the ends of the interval."""


def describe_series(series: Sequence[NamedCurve], x: Axis, y: Axis) -> str:
    """The axes of a chart, and where each of its curves begins and ends."""
    sentences = [say("{y} by {x}.", y=y.label, x=x.label)]
    sentences += [_describe_curve(name, points, x, y) for name, points in series[:MAX_DESCRIBED]]
    if len(series) > MAX_DESCRIBED:
        sentences.append(say("And {n} more.", n=len(series) - MAX_DESCRIBED))
    return " ".join(sentences)


def _describe_curve(name: str, points: Points, x: Axis, y: Axis) -> str:
    (first_x, first), (last_x, last) = points[0], points[-1]
    low_x, low = min(points, key=lambda point: point[1])
    high_x, high = max(points, key=lambda point: point[1])
    start = f"{name}: " if name else ""
    if len(points) == 1:
        return start + say("{value} at {x}.", value=y.say_value(first), x=x.say_value(first_x))
    return start + say(
        "{first} at {first_x}, {last} at {last_x}; lowest {low} at {low_x}, highest {high} at {high_x}.",
        first=y.say_value(first),
        first_x=x.say_value(first_x),
        last=y.say_value(last),
        last_x=x.say_value(last_x),
        low=y.say_value(low),
        low_x=x.say_value(low_x),
        high=y.say_value(high),
        high_x=x.say_value(high_x),
    )


def describe_intervals(intervals: Sequence[NamedInterval], unit: str) -> str:
    """The numbers of a chart of intervals."""
    shown = [f"{name} {say_interval(value, low, high)}" for name, value, low, high in intervals[:MAX_DESCRIBED]]
    if len(intervals) > MAX_DESCRIBED:
        shown.append(say("and {n} more", n=len(intervals) - MAX_DESCRIBED))
    return f"{unit}: {'; '.join(shown)}"


def say_interval(value: float, low: float | None, high: float | None) -> str:
    """A number with the ends of its interval, in few digits."""
    if low is None or high is None:
        return format_alike(value)[0]
    shown, *ends = format_alike(value, low, high)
    return say("{value} ({low} to {high})", value=shown, low=ends[0], high=ends[1])
