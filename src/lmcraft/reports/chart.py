"""Charts of lines and dots as SVG text, and a curve in one line of a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 12, 40
MOST_POINTS = 600
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Series:
    """One curve: its name (empty: not in the legend), its CSS classes and its points (x, y)."""

    name: str
    style: str
    points: Sequence[tuple[float, float]]
    dots: bool = False
    """Draw each point by itself, not a line through them."""


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, log_x: bool = False) -> str:
    """An SVG element with axes, a legend and the series; with `log_x` every x must be positive."""
    series = [s if s.dots else replace(s, points=_thinned(s.points)) for s in series if s.points]
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points]
    if not xs:
        return "<p>No points yet.</p>"
    x_ticks, y_ticks = (log_ticks if log_x else ticks)(min(xs), max(xs)), ticks(min(ys), max(ys))
    scale = log10 if log_x else float

    def place(x: float, y: float) -> tuple[float, float]:
        first, last = scale(x_ticks[0]), scale(x_ticks[-1])
        across = (scale(x) - first) / (last - first)
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y_label)}">']
    for tick in y_ticks:
        x, y = place(x_ticks[0], tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x, y = place(tick, y_ticks[0])
        parts.append(
            f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{short(tick) if log_x else f"{tick:,g}"}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for s in series:
        places = [place(*point) for point in s.points]
        if s.dots:
            parts.extend(f'<circle class="{s.style}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in places)
        else:
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            parts.append(f'<polyline class="{s.style}" points="{line}"/>')
    for row, s in enumerate(s for s in series if s.name):
        y = TOP + 14 + 18 * row
        key = f'<line class="key {s.style}" x1="{WIDTH - 170}" x2="{WIDTH - 146}" y1="{y - 4}" y2="{y - 4}"/>'
        parts.append(f'<circle class="{s.style}" cx="{WIDTH - 158}" cy="{y - 4}" r="4"/>' if s.dots else key)
        parts.append(f'<text x="{WIDTH - 140}" y="{y}">{escape(s.name)}</text>')
    return "".join([*parts, "</svg>"])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from at or below `low` to at or above `high`, about so many."""
    span = (high - low) or abs(high) or 1.0
    power: float = 10 ** floor(log10(span / about))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= about)
    first, last = floor(low / step), ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float, most: int = 9) -> list[float]:
    """1, 2 and 5 times powers of ten from at or below `low` to at or above `high`; powers alone where those are too many."""
    first, last = floor(log10(low)), ceil(log10(high))
    for marks in ((1, 2, 5), (1,)):
        all_of_them = [mark * 10.0**power for power in range(first, last + 1) for mark in marks]
        below = max(n for n, tick in enumerate(all_of_them) if tick <= low * (1 + 1e-9))
        above = min(n for n, tick in enumerate(all_of_them) if tick >= high * (1 - 1e-9))
        found = all_of_them[below : max(above, below + 1) + 1]
        if len(found) <= most:
            break
    return found


def short(value: float) -> str:
    """A large number in three digits: 1.23M; from a thousand million million on, as a power of ten."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if size <= value < 1e15:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def sparkline(values: Sequence[float]) -> str:
    """The values as a row of block characters, the largest highest."""
    low, high = min(values), max(values)
    return "".join(BLOCKS[round((len(BLOCKS) - 1) * (v - low) / ((high - low) or 1.0))] for v in values)


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most about `MOST_POINTS` of them: the mean of each stretch of neighbors."""
    size = ceil(len(points) / MOST_POINTS)
    stretches = [points[i : i + size] for i in range(0, len(points), size)]
    return [(sum(x for x, _ in s) / len(s), sum(y for _, y in s) / len(s)) for s in stretches]
