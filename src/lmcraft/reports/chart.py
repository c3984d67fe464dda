"""Line charts, scatter plots and intervals as SVG, and sparklines for the terminal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import ceil, floor, log10

from lmcraft.terminal import format_count

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 12, 40
NAME_WIDTH, ROW_HEIGHT = 240, 24  # of an interval chart
MAX_POINTS_PER_LINE = 600
COLORS = "abcdef"  # CSS classes of curves
SPARKLINE_BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Series:
    """One curve: its name (empty: not in the legend), its CSS classes and its points (x, y)."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    """Draw the points, not a line through them."""
    intervals: Sequence[tuple[float, float]] = ()
    """The low and the high end at each point: a band around a line, bars through dots."""


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, log_x: bool = False) -> str:
    """An SVG element with axes, a legend and the series; with `log_x` every x must be positive."""
    series = [s if s.dots or s.intervals else replace(s, points=_thin_out(s.points)) for s in series if s.points]
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for y in (*(y for _, y in s.points), *(end for ends in s.intervals for end in ends))]
    if not xs:
        return "<p>No points yet.</p>"
    x_ticks, y_ticks = (log_ticks if log_x else ticks)(min(xs), max(xs)), ticks(min(ys), max(ys))
    scale = log10 if log_x else float

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        first, last = scale(x_ticks[0]), scale(x_ticks[-1])
        across = (scale(x) - first) / (last - first)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for tick in y_ticks:
        x, y = to_pixels(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, y = to_pixels(tick, y_ticks[0])
        parts.append(
            f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{format_count(tick) if log_x else f"{tick:,g}"}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for s in series:
        parts += _draw_intervals(s, to_pixels)
        pixels = [to_pixels(*point) for point in s.points]
        if s.dots:
            parts.extend(f'<circle class="{s.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in pixels)
        else:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
            parts.append(f'<polyline class="{s.style}" points="{line}"/>')
    for row, s in enumerate(s for s in series if s.name):
        y = TOP + 14 + 18 * row
        key = f'<line class="key {s.style}" x1="{WIDTH - 170}" x2="{WIDTH - 146}" y1="{y - 4}" y2="{y - 4}"/>'
        parts.append(f'<circle class="{s.style}" cx="{WIDTH - 158}" cy="{y - 4}" r="4"/>' if s.dots else key)
        parts.append(f'<text x="{WIDTH - 140}" y="{y}">{escape(s.name)}</text>')
    return "".join([*parts, "</svg>"])


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval, which may be missing."""

    name: str
    value: float
    low: float | None
    high: float | None


def interval_chart(intervals: Sequence[Interval], *, x_label: str) -> str:
    """An SVG element with a dot and a bar for each number, below each other, and a line at 0."""
    numbers = [x for i in intervals for x in (i.value, i.low, i.high) if x is not None]
    x_ticks = ticks(min(0.0, *numbers), max(0.0, *numbers))
    bottom = TOP + ROW_HEIGHT * len(intervals)

    def to_pixels(x: float) -> float:
        share = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        return NAME_WIDTH + share * (WIDTH - NAME_WIDTH - RIGHT)

    parts = [f'<svg viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" aria-label="{escape(x_label)}">']
    for tick in x_ticks:
        x, style = to_pixels(tick), "ink" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{(NAME_WIDTH + WIDTH) / 2}" y="{bottom + BOTTOM - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    for row, i in enumerate(intervals):
        y = TOP + ROW_HEIGHT * (row + 0.5)
        parts.append(f'<text x="{NAME_WIDTH - 8}" y="{y + 4}" text-anchor="end">{escape(i.name)}</text>')
        if i.low is not None and i.high is not None:
            ends = f'x1="{to_pixels(i.low):.1f}" x2="{to_pixels(i.high):.1f}"'
            parts.append(f'<line class="key a" {ends} y1="{y}" y2="{y}"/>')
        parts.append(f'<circle class="a" cx="{to_pixels(i.value):.1f}" cy="{y}" r="4"/>')
    return "".join([*parts, "</svg>"])


def _draw_intervals(series: Series, to_pixels: Callable[[float, float], tuple[float, float]]) -> list[str]:
    ends = [
        (to_pixels(x, low), to_pixels(x, high)) for (x, _), (low, high) in zip(series.points, series.intervals, strict=False)
    ]
    if series.dots:
        return [
            f'<line class="{series.style}" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            for (x, low), (_, high) in ends
        ]
    outline = [low for low, _ in ends] + [high for _, high in reversed(ends)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
    return [f'<polygon class="{series.style} band" points="{corners}"/>'] if ends else []


def ticks(low: float, high: float, target_count: int = 5) -> list[float]:
    """About `target_count` round numbers, the first at most `low` and the last at least `high`."""
    span = (high - low) or abs(high) or 1.0
    power: float = 10 ** floor(log10(span / target_count))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= target_count)
    first, last = floor(low / step), ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float, max_ticks: int = 9) -> list[float]:
    """Powers of ten from below `low` to above `high`, with 2 and 5 times these unless they exceed `max_ticks`."""
    first, last = floor(log10(low)), ceil(log10(high))
    for marks in ((1, 2, 5), (1,)):
        candidates = [mark * 10.0**power for power in range(first, last + 1) for mark in marks]
        below = max(n for n, tick in enumerate(candidates) if tick <= low * (1 + 1e-9))
        above = min(n for n, tick in enumerate(candidates) if tick >= high * (1 - 1e-9))
        enclosing = candidates[below : max(above, below + 1) + 1]
        if len(enclosing) <= max_ticks:
            break
    return enclosing


def sparkline(values: Sequence[float]) -> str:
    """The values as a row of block characters, higher for larger values."""
    low, high = min(values), max(values)
    return "".join(SPARKLINE_BLOCKS[round((len(SPARKLINE_BLOCKS) - 1) * (v - low) / ((high - low) or 1.0))] for v in values)


def _thin_out(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most about `MAX_POINTS_PER_LINE` points: the mean of each group of neighbors."""
    size = ceil(len(points) / MAX_POINTS_PER_LINE)
    groups = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]
