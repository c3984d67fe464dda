"""The tasks that a run was evaluated on during training: each one's curve over the steps, with its 95% interval."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lmcraft.reports.chart import Series, small_chart
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table, say_metric
from lmcraft.training.task_scores import main_figures

Row = Mapping[str, Any]
MAX_TASKS = 100


def tasks_section(rows: Sequence[Row]) -> str:
    """HTML from the rows of metrics.jsonl; empty if the run had no tasks. Rows that are no scores are left out."""
    evaluated = [row for row in rows if _has_scores(row)]
    names = list(dict.fromkeys(name for row in evaluated for name in row["tasks"]))
    more = f"<p>{escape(say('And {n} more.', n=len(names) - MAX_TASKS))}</p>" if len(names) > MAX_TASKS else ""
    return "".join([*(_task(name, evaluated) for name in names[:MAX_TASKS]), more])


def _has_scores(row: Row) -> bool:
    """Whether a row has figures of tasks, each with the ends of its interval."""
    tasks, items, chances = (row.get(name) for name in ("tasks", "items", "chance"))
    if not (isinstance(tasks, dict) and isinstance(items, dict) and isinstance(chances, dict)):
        return False
    return all(
        isinstance(figures, dict)
        and figures
        and all(_is_figure(figure) for figure in figures.values())
        and isinstance(items.get(task), int)
        and _is_number(chances.get(task, 0))
        for task, figures in tasks.items()
    )


def _is_figure(figure: Any) -> bool:
    if not (isinstance(figure, list) and len(figure) == 3):
        return False
    value, low, high = figure
    return (
        _is_number(value) and (low is None) == (high is None) and all(end is None or _is_number(end) for end in (low, high))
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _task(task: str, rows: Sequence[Row]) -> str:
    rows = [row for row in rows if task in row["tasks"]]
    first, last = rows[0], rows[-1]
    figures, chance = last["tasks"][task], last["chance"].get(task)
    charts = [_chart(task, name, rows, chance if n == 0 else None) for n, name in enumerate(main_figures(figures))]
    items = f"{last['items'][task]:,}"
    heading = f"<h3>{escape(task)}</h3><p>{say('{n} items; the bands are 95% intervals.', n=items)}</p>"
    columns = [say("figure"), *(say("step {step}", step=f"{row['step']:,}") for row in (first, last))]
    table = [[name, *(_describe(row["tasks"][task].get(name)) for row in (first, last))] for name in figures]
    return f'{heading}<div class="small">{"".join(charts)}</div>{html_table(columns, table)}'


def _chart(task: str, figure: str, rows: Sequence[Row], chance: float | None) -> str:
    measured = [(row["step"], *row["tasks"][task][figure]) for row in rows if figure in row["tasks"][task]]
    points = [(step, value) for step, value, _, _ in measured]
    intervals = [(value, value) if low is None else (low, high) for _, value, low, high in measured]
    series = [Series("", "a", points, intervals=intervals)]
    if chance is not None:
        series.append(Series(say("chance"), "ink dashed", [(step, chance) for step, _ in points]))
    return small_chart(series, say("step"), f"{task}: {figure}")


def _describe(figure: Sequence[float | None] | None) -> str:
    return "" if figure is None else say_metric(dict(zip(("value", "low", "high"), figure, strict=True)))
