"""The tasks that a run was evaluated on during training: each one's curve over the steps, with its 95% interval."""

from collections.abc import Sequence
from html import escape
from typing import Any

from lmcraft.reports.chart import Series, line_chart
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table, say_metric
from lmcraft.training.task_scores import main_figures

Row = dict[str, Any]


def tasks_section(rows: Sequence[Row]) -> str:
    """HTML from the rows of metrics.jsonl; empty if the run had no tasks."""
    evaluated = [row for row in rows if "tasks" in row]
    names = dict.fromkeys(name for row in evaluated for name in row["tasks"])
    return "".join([f"<h2>{say('Tasks')}</h2>", *(_task(name, evaluated) for name in names)]) if names else ""


def _task(task: str, rows: Sequence[Row]) -> str:
    rows = [row for row in rows if task in row["tasks"]]
    first, last = rows[0], rows[-1]
    figures, chance = last["tasks"][task], last["chance"].get(task)
    charts = [_chart(task, name, rows, chance if n == 0 else None) for n, name in enumerate(main_figures(figures))]
    items = f"{last['items'][task]:,}"
    heading = f"<h3>{escape(task)}</h3><p>{say('{n} items; the bands are 95% intervals.', n=items)}</p>"
    columns = [say("figure"), *(say("step {step}", step=f"{row['step']:,}") for row in (first, last))]
    table = [[name, *(_describe(row["tasks"][task].get(name)) for row in (first, last))] for name in figures]
    return "".join([heading, *charts, html_table(columns, table)])


def _chart(task: str, figure: str, rows: Sequence[Row], chance: float | None) -> str:
    measured = [(row["step"], *row["tasks"][task][figure]) for row in rows if figure in row["tasks"][task]]
    points = [(step, value) for step, value, _, _ in measured]
    intervals = [(value, value) if low is None else (low, high) for _, value, low, high in measured]
    series = [Series("", "a", points, intervals=intervals)]
    if chance is not None:
        series.append(Series(say("chance"), "ink dashed", [(step, chance) for step, _ in points]))
    return f"<h4>{escape(figure)}</h4>" + line_chart(series, x_label=say("step"), y_label=f"{task}: {figure}")


def _describe(figure: Sequence[float | None] | None) -> str:
    return "" if figure is None else say_metric(dict(zip(("value", "low", "high"), figure, strict=True)))
