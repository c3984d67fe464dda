"""The page of an evaluation: figures with their intervals, and reliability diagrams."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from lmcraft.evaluation.requirements import failed_tests
from lmcraft.evaluation.results import Figure, TaskResult
from lmcraft.folder import write_text
from lmcraft.reports.chart import Interval, Series, interval_chart, line_chart
from lmcraft.reports.energy import energy_of
from lmcraft.reports.language import say
from lmcraft.reports.table import html_table
from lmcraft.reports.template import PAGE_NAME, fill_bilingual
from lmcraft.statistics.calibration import reliability_bins

TITLE = "Evaluation of"
COLUMNS = ("task", "items", "figure", "value", "95% interval", "chance")
OVERLAP_COLUMNS = ("in training data", "without these")


def write_evaluation(folder: Path, model: str, settings: Mapping[str, object], results: Sequence[TaskResult]) -> Path:
    """Write the page; returns its path."""
    charts = defaultdict(list)
    for result in results:
        for figure in result.figures:
            metric = figure.metric
            charts[figure.measure.name].append(Interval(result.task, metric.value, metric.low, metric.high))
    energy = energy_of(folder)
    shown = ", ".join(f"{name} {value}" for name, value in settings.items() if value not in (False, "auto"))

    def build() -> dict[str, str]:
        head, rows = figure_rows(results)
        meaning = say("Values with 95% intervals; chance is what a model that guesses reaches.")
        return {
            "title": escape(say(TITLE + " {model}", model=model)),
            "settings": escape(f"{shown}. {meaning}"),
            "figures": html_table([say(name) for name in head], rows),
            "failed": "".join(map(_failed_tests, results)),
            "charts": "".join(interval_chart(entries, x_label=name) for name, entries in charts.items() if len(entries) > 1),
            "calibration": "".join(map(_reliability, results)),
            "energy": energy(),
        }

    page = fill_bilingual("evaluation.html", build)
    path = folder / PAGE_NAME
    write_text(path, page)
    return path


def figure_rows(results: Sequence[TaskResult]) -> tuple[Sequence[str], list[list[str]]]:
    """The headings and rows of a table of all figures; the last columns only if items stand in the training data."""
    has_overlap = any(result.clean_figures for result in results)
    rows = []
    for result in results:
        clean = {figure.measure.name: figure for figure in result.clean_figures}
        for n, figure in enumerate(result.figures):
            is_first = n == 0
            chance = "" if result.chance is None or not is_first else f"{result.chance:.3f}"
            cells = [result.task if is_first else "", f"{figure.count:,}" if is_first else "", figure.measure.name]
            cells += [f"{figure.metric.value:.3f}", _interval(figure), chance]
            if has_overlap:
                other = clean.get(figure.measure.name)
                hits = str(len(result.overlap.contained)) if result.overlap is not None and is_first else ""
                cells += [hits, "" if other is None else f"{other.metric.value:.3f}"]
            rows.append(cells)
    return [*COLUMNS, *(OVERLAP_COLUMNS if has_overlap else ())], rows


def _interval(figure: Figure) -> str:
    low, high = figure.metric.low, figure.metric.high
    return "" if low is None or high is None else say("{low} to {high}", low=f"{low:.3f}", high=f"{high:.3f}")


def _failed_tests(result: TaskResult) -> str:
    """The tests of a task that failed, and why; empty if none did."""
    if not (failed := failed_tests(result)):
        return ""
    heading = escape(say("Failed tests: {task}", task=result.task))
    return f"<h2>{heading}</h2>{html_table([say('test'), say('reason')], failed)}"


def _reliability(result: TaskResult) -> str:
    """How often answers of each confidence are right; on the diagonal, probabilities mean what they say."""
    items = [item.values for item in result.items if "ece" in item.values]
    if not items:
        return ""
    bins = reliability_bins([values["ece"] for values in items], [values["acc"] for values in items])
    series = [
        Series(say("perfect"), "ink dashed", [(0.0, 0.0), (1.0, 1.0)]),
        Series(result.task, "a", [(entry.confidence, entry.accuracy.value) for entry in bins], dots=True),
    ]
    chart = line_chart(series, x_label=say("confidence"), y_label=say("share of right answers"))
    return f"<h2>{escape(say('Reliability: {task}', task=result.task))}</h2>{chart}"
