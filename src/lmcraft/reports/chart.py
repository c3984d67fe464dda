"""Line charts, scatter plots and intervals as SVG, and sparklines for the terminal."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from itertools import chain, repeat
from math import ceil
from typing import Self

from lmcraft.reports.axis import Axis, shorten, text_width, ticks
from lmcraft.reports.chart_text import describe_intervals, describe_series, say_interval
from lmcraft.reports.language import say

WIDTH, HEIGHT = 720, 300
SMALL = (360, 220)  # of a small chart
LEFT, RIGHT, TOP, BOTTOM = 78, 20, 12, 40
NAME_WIDTH, ROW_HEIGHT, VALUE_WIDTH = 210, 24, 170  # of an interval chart
LEGEND_HEIGHT = 20  # of a row
MIN_TICK_WIDTH = 50
LABEL_GAP, LABEL_HEIGHT = 8, 13
CHARACTER_WIDTH = 6.5  # about, of the font in page.css
MAX_POINTS_PER_LINE = 400
MAX_NUMBER = 1e300  # in absolute value, on an axis
MANY_DOTS = 150  # from here on they are smaller
COLORS = "abcdef"  # CSS classes of curves
SPARKLINE_BLOCKS = "▁▂▃▄▅▆▇█"

ToPixels = Callable[[float, float], tuple[float, float]]


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
    titles: Sequence[str] = ()
    """What the pointer shows at each point, or, one title, at the line."""
    x_intervals: Sequence[tuple[float, float]] = ()
    """The left and the right end at each point: bars through dots."""
    labels: Sequence[str] = ()
    """What stands beside each point."""

    def visible(self) -> Self:
        """What is finite, as a dot if it is only one point."""
        finite = self.finite()
        return replace(finite, dots=finite.dots or len(finite.points) == 1)

    def finite(self) -> Self:
        """Without the points that are on no axis (NaN, infinity); such an end of an interval is moved to its point."""
        kept = [
            n for n, (x, y) in enumerate(self.points) if -MAX_NUMBER <= x <= MAX_NUMBER and -MAX_NUMBER <= y <= MAX_NUMBER
        ]
        if len(kept) == len(self.points) and not (self.intervals or self.x_intervals):
            return self
        points = [self.points[n] for n in kept]
        ups, acrosses = ([ends[n] for n in kept if n < len(ends)] for ends in (self.intervals, self.x_intervals))
        return replace(
            self,
            points=points,
            intervals=[_finite_ends(y, ends) for (_, y), ends in zip(points, ups, strict=False)],
            x_intervals=[_finite_ends(x, ends) for (x, _), ends in zip(points, acrosses, strict=False)],
            titles=self.titles if len(self.titles) == 1 else [self.titles[n] for n in kept if n < len(self.titles)],
            labels=[self.labels[n] for n in kept if n < len(self.labels)],
        )


def _is_finite(number: float) -> bool:
    return abs(number) <= MAX_NUMBER


def _finite_ends(value: float, ends: tuple[float, float]) -> tuple[float, float]:
    low, high = (end if _is_finite(end) else value for end in ends)
    return low, high


def line_chart(series: Sequence[Series], *, x_label: str, y_label: str, log_x: bool = False) -> str:
    """A figure with axes, a legend and the series; with `log_x` every x must be positive."""
    series = [s.visible() for s in series]
    xs, ys = _numbers(series)
    if not xs:
        return f"<p>{say('No points yet.')}</p>"
    return figure(draw_chart(series, Axis.of_numbers(x_label, xs, log=log_x), Axis.of_numbers(y_label, ys)))


def _numbers(series: Sequence[Series]) -> tuple[list[float], list[float]]:
    """All that the two axes must show."""
    xs = [x for s in series for x, _ in s.points]
    return xs, [y for s in series for y in (*(y for _, y in s.points), *(end for ends in s.intervals for end in ends))]


def small_chart(series: Sequence[Series], x_label: str, y_label: str) -> str:
    """A figure half as wide, for a `<div class="small">`; empty without points."""
    series = [s.visible() for s in series]
    xs, ys = _numbers(series)
    if not xs:
        return ""
    x, y = (Axis.of_numbers(name, values, count=4) for name, values in ((x_label, xs), (y_label, ys)))
    return f"<figure>{draw_chart(series, x, y, *SMALL)}</figure>"


def figure(chart: str, caption: str = "") -> str:
    """A chart that scrolls sideways where the window is narrow; empty if there is none.

    Args:
        chart: an SVG element.
        caption: below it, as HTML.
    """
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure tabindex="0">{chart}{below}</figure>' if chart else ""


def draw_chart(series: Sequence[Series], x: Axis, y: Axis, width: int = WIDTH, height: int = HEIGHT) -> str:
    """An SVG element with these axes, a legend above them, and the series; what lies outside is drawn at the edge."""
    series = [s for s in (s.finite() for s in series) if s.points]
    description = describe_series([(s.name, s.points) for s in series], x, y)
    series = [s if s.dots else _thin_out(s) for s in series]
    legend, top = _draw_legend([s for s in series if s.name], width)
    height += round(top)

    def to_pixels(a: float, b: float) -> tuple[float, float]:
        return LEFT + x.share(a) * (width - LEFT - RIGHT), height - BOTTOM - y.share(b) * (height - top - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(description)}">', *legend]
    for tick, text in y.ticks:
        left, up = to_pixels(x.low, tick)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{width - RIGHT}" y1="{up:.1f}" y2="{up:.1f}"/>')
        parts.append(draw_text(left - 6, up + 4, text, "end"))
    for tick, text in x.ticks:
        across, bottom = to_pixels(tick, y.low)
        parts.append(
            draw_text(across, bottom + 16, text, "middle", max(MIN_TICK_WIDTH, (width - LEFT - RIGHT) / len(x.ticks) - 6))
        )
    middle = (height - BOTTOM + top) / 2
    parts.append(draw_text((width + LEFT - RIGHT) / 2, height - 6, x.label, "middle", width - LEFT))
    parts.append(
        f'<g transform="rotate(-90 12 {middle:.0f})">{draw_text(12, middle, y.label, "middle", height - BOTTOM)}</g>'
    )
    for s in series:
        parts += [*_draw_intervals(s, to_pixels), *_draw_points(s, to_pixels)]
    parts += _draw_labels(series, to_pixels, width)
    return "".join([*parts, "</svg>"])


def draw_text(x: float, y: float, text: str, anchor: str = "start", max_width: float = WIDTH) -> str:
    """An SVG text; one that is too wide is shortened, and whole under the pointer."""
    shown = shorten(text, max(3, int(max_width / CHARACTER_WIDTH)))
    title = f"<title>{escape(text)}</title>" if shown != text else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(shown)}{title}</text>'


def _draw_legend(series: Sequence[Series], width: float) -> tuple[list[str], float]:
    """The names beside each other in as many rows as needed, and the height of these."""
    parts, x, row = [], float(LEFT), 0
    for s in series:
        name = shorten(s.name, int((width - LEFT - RIGHT - 40) / CHARACTER_WIDTH))
        end = x + 30 + CHARACTER_WIDTH * text_width(name)
        if end > width - RIGHT and x > LEFT:
            x, row = float(LEFT), row + 1
            end = x + 30 + CHARACTER_WIDTH * text_width(name)
        y = TOP + LEGEND_HEIGHT * row
        key = f'<line class="key {s.style}" x1="{x:.1f}" x2="{x + 24:.1f}" y1="{y}" y2="{y}"/>'
        parts.append(f'<circle class="{s.style}" cx="{x + 12:.1f}" cy="{y}" r="4"/>' if s.dots else key)
        parts.append(draw_text(x + 30, y + 4, name))
        x = end + 16
    return parts, LEGEND_HEIGHT * (row + 1.3) if series else 0.0


def _draw_points(series: Series, to_pixels: ToPixels) -> Iterator[str]:
    pixels = [to_pixels(*point) for point in series.points]
    titles = (f"<title>{escape(title)}</title>" for title in series.titles)
    if series.dots:
        radius = 4 if len(pixels) < MANY_DOTS else 2.5
        for (x, y), title in zip(pixels, chain(titles, repeat("")), strict=False):
            yield f'<circle class="{series.style}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}">{title}</circle>'
        return
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in pixels)
    yield f'<polyline class="{series.style}" points="{line}">{"".join(titles)}</polyline>'


@dataclass(frozen=True)
class Interval:
    """A number with the ends of its interval, which may be missing."""

    name: str
    value: float
    low: float | None
    high: float | None
    mark: float | None = None
    """A number to compare it with, such as that of chance."""


def interval_chart(intervals: Sequence[Interval], *, x_label: str, mark_label: str = "") -> str:
    """A figure with a dot and a bar for each number, below each other, beside its text, and a line at 0.

    Args:
        intervals: those without a finite value are left out.
        x_label: unit of the numbers.
        mark_label: what the marks are, for the legend.
    """
    intervals = [i for i in intervals if _is_finite(i.value)]
    if not intervals:
        return f"<p>{say('No points yet.')}</p>"
    numbers = [x for i in intervals for x in (i.value, i.low, i.high, i.mark) if x is not None and _is_finite(x)]
    x_ticks = ticks(min(0.0, *numbers), max(0.0, *numbers))
    right = WIDTH - VALUE_WIDTH
    top = TOP + (LEGEND_HEIGHT if mark_label else 0)
    bottom = top + ROW_HEIGHT * len(intervals)

    def to_pixels(x: float) -> float:
        share = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        return NAME_WIDTH + share * (right - NAME_WIDTH)

    description = describe_intervals([(i.name, i.value, i.low, i.high) for i in intervals], x_label)
    parts = [f'<svg viewBox="0 0 {WIDTH} {bottom + BOTTOM}" role="img" aria-label="{escape(description)}">']
    if mark_label:
        parts.append(f'<line class="b key" x1="{NAME_WIDTH}" x2="{NAME_WIDTH}" y1="{TOP - 6}" y2="{TOP + 8}"/>')
        parts.append(draw_text(NAME_WIDTH + 10, TOP + 5, mark_label))
    for tick in x_ticks:
        x, style = to_pixels(tick), "ink" if tick == 0 else "grid"
        parts.append(f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}"/>')
        parts.append(draw_text(x, bottom + 16, f"{tick:g}", "middle"))
    parts.append(draw_text((NAME_WIDTH + right) / 2, bottom + BOTTOM - 6, x_label, "middle", WIDTH - NAME_WIDTH))
    for row, i in enumerate(intervals):
        y = top + ROW_HEIGHT * (row + 0.5)
        parts.append(draw_text(NAME_WIDTH - 10, y + 4, i.name, "end", NAME_WIDTH - 10))
        if i.low is not None and i.high is not None and _is_finite(i.low) and _is_finite(i.high):
            ends = f'x1="{to_pixels(i.low):.1f}" x2="{to_pixels(i.high):.1f}"'
            parts.append(f'<line class="key a" {ends} y1="{y}" y2="{y}"/>')
        if i.mark is not None and _is_finite(i.mark):
            x = to_pixels(i.mark)
            parts.append(f'<line class="b key" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 7}" y2="{y + 7}"/>')
        parts.append(f'<circle class="a" cx="{to_pixels(i.value):.1f}" cy="{y}" r="4"/>')
        parts.append(draw_text(WIDTH, y + 4, say_interval(i.value, i.low, i.high), "end", VALUE_WIDTH - 8))
    return figure("".join([*parts, "</svg>"]))


def _draw_intervals(series: Series, to_pixels: ToPixels) -> list[str]:
    ends = [
        (to_pixels(x, low), to_pixels(x, high)) for (x, _), (low, high) in zip(series.points, series.intervals, strict=False)
    ]
    if series.dots:
        across = [
            (to_pixels(low, y), to_pixels(high, y))
            for (_, y), (low, high) in zip(series.points, series.x_intervals, strict=False)
        ]
        return [
            f'<line class="{series.style}" x1="{x:.1f}" x2="{right:.1f}" y1="{low:.1f}" y2="{high:.1f}"/>'
            for (x, low), (right, high) in (*ends, *across)
        ]
    outline = [low for low, _ in ends] + [high for _, high in reversed(ends)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in outline)
    return [f'<polygon class="{series.style} band" points="{corners}"/>'] if ends else []


def _draw_labels(series: Sequence[Series], to_pixels: ToPixels, width: float) -> Iterator[str]:
    """What stands above the points' right, or left at the right edge; moved down where another is."""
    labels = [(to_pixels(*point), text) for s in series for point, text in zip(s.points, s.labels, strict=False)]
    drawn: list[tuple[float, float, float]] = []
    for (x, y), text in sorted(labels, key=lambda label: label[0][1]):
        size = CHARACTER_WIDTH * text_width(text)
        is_left = x + LABEL_GAP + size > width
        start = x - LABEL_GAP - size if is_left else x + LABEL_GAP
        while any(abs(y - other) < LABEL_HEIGHT and start < end and left < start + size for left, end, other in drawn):
            y += 1
        drawn.append((start, start + size, y))
        yield draw_text(x - LABEL_GAP if is_left else x + LABEL_GAP, y - 5, text, "end" if is_left else "start")


def sparkline(values: Sequence[float]) -> str:
    """The values as a row of block characters, higher for larger values."""
    low, high = min(values), max(values)
    return "".join(SPARKLINE_BLOCKS[round((len(SPARKLINE_BLOCKS) - 1) * (v - low) / ((high - low) or 1.0))] for v in values)


def _thin_out(series: Series) -> Series:
    """At most about `MAX_POINTS_PER_LINE` points: the mean of each group of neighbors, in a band from its lowest to its
    highest value."""
    size = ceil(len(series.points) / MAX_POINTS_PER_LINE)
    if size <= 1:
        return series
    starts = range(0, len(series.points), size)
    groups = [series.points[i : i + size] for i in starts]
    ends = [series.intervals[i : i + size] or [(y, y) for _, y in group] for i, group in zip(starts, groups, strict=True)]
    return replace(
        series,
        points=[(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups],
        intervals=[(min(low for low, _ in pairs), max(high for _, high in pairs)) for pairs in ends],
    )
