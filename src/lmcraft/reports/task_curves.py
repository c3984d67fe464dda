"""Tasks over the sizes and the checkpoints of a family: by accuracy and by bits per byte, with their 95% intervals."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from html import escape

from lmcraft.pretraining.task_curves import TaskCurve, TaskPoint
from lmcraft.reports.chart import COLORS, Series, line_chart
from lmcraft.reports.table import html_table
from lmcraft.statistics.intervals import Metric, describe_metric
from lmcraft.terminal import format_count
from lmcraft.training.task_scores import BITS_PER_BYTE

GetFigure = Callable[[TaskPoint], Metric | None]


def task_sections(curves: Sequence[TaskCurve]) -> str:
    """HTML of all tasks; empty without any."""
    return "".join(map(_section, curves))


def task_table(curve: TaskCurve, points: Sequence[TaskPoint]) -> tuple[list[str], list[list[str]]]:
    """The columns, and a row for each of some points of a curve."""
    figures = _figures(curve)
    rows = [
        [f"{p.depth}", f"{p.parameters:,}", f"{p.tokens:,}", *(_describe(figure(p)) for figure in figures.values())]
        for p in points
    ]
    return ["blocks", "parameters", "tokens", *figures], rows


def _figures(curve: TaskCurve) -> dict[str, GetFigure]:
    """The figures that the task has, by name."""
    figures: dict[str, GetFigure] = {curve.measure: lambda p: p.accuracy, BITS_PER_BYTE: lambda p: p.bits_per_byte}
    return {name: figure for name, figure in figures.items() if any(figure(point) for point in curve.points)}


def _section(curve: TaskCurve) -> str:
    charts = []
    for name, figure in _figures(curve).items():
        chance = curve.chance if name != BITS_PER_BYTE else None
        charts.append(f"<h3>{escape(name)}, by parameters</h3>{_by_size(curve, name, figure, chance)}")
        charts.append(f"<h3>{escape(name)}, by tokens</h3>{_by_tokens(curve, name, figure, chance)}")
    items = (
        f"{curve.items:,} items; the bars are 95% intervals. By parameters: after the longest run of each size. By tokens: "
        "after all runs, and at the checkpoints and evaluations before."
    )
    table = html_table(*task_table(curve, curve.points))
    return f"<h2>Task {escape(curve.task)}</h2><p>{escape(curve.summary)}</p><p>{items}</p>{''.join(charts)}{table}"


def _by_size(curve: TaskCurve, name: str, figure: GetFigure, chance: float | None) -> str:
    series = [
        _dots("", "a", curve.sizes, lambda p: p.parameters, figure),
        *_chance(curve.sizes, lambda p: p.parameters, chance),
    ]
    return line_chart(series, x_label="parameters", y_label=name, log_x=True)


def _by_tokens(curve: TaskCurve, name: str, figure: GetFigure, chance: float | None) -> str:
    by_depth: dict[int, list[TaskPoint]] = {}
    for point in curve.points:
        by_depth.setdefault(point.depth, []).append(point)
    series = [
        _dots(format_count(points[0].parameters), COLORS[number % len(COLORS)], points, lambda p: p.tokens, figure)
        for number, points in enumerate(by_depth.values())
    ]
    return line_chart(
        [*series, *_chance(curve.points, lambda p: p.tokens, chance)], x_label="tokens", y_label=name, log_x=True
    )


def _dots(
    name: str,
    style: str,
    points: Sequence[TaskPoint],
    position: Callable[[TaskPoint], float],
    figure: GetFigure,
) -> Series:
    measured = [(position(point), metric) for point in points if (metric := figure(point)) is not None]
    intervals = [(m.value, m.value) if m.low is None or m.high is None else (m.low, m.high) for _, m in measured]
    return Series(name, style, [(x, m.value) for x, m in measured], dots=True, intervals=intervals)


def _chance(points: Sequence[TaskPoint], position: Callable[[TaskPoint], float], chance: float | None) -> list[Series]:
    if chance is None:
        return []
    return [Series("chance", "ink dashed", [(x, chance) for x in sorted(map(position, points))])]


def _describe(metric: Metric | None) -> str:
    return "" if metric is None else describe_metric(asdict(metric))
