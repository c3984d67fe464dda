"""The page of compared models: `comparison.html`, a single file that opens offline, and `comparison.json`."""

from collections.abc import Sequence
from html import escape
from math import isfinite, nan
from pathlib import Path

from lmcraft.energy.energy import format_figure
from lmcraft.evaluation.compared import ComparedFigure, ComparedTask, DifferingItem, ModelComparison, Rate, TokenEnergy
from lmcraft.evaluation.speed import ROUNDS
from lmcraft.folder import write_json, write_text
from lmcraft.reports.chart import Interval, interval_chart
from lmcraft.reports.table import html_table, key_value_rows
from lmcraft.reports.template import fill_page
from lmcraft.statistics.intervals import Metric
from lmcraft.terminal import format_bytes, format_count

MAX_ITEMS_PER_GROUP = 10
MIN_P_VALUE = 0.001  # smaller ones are not told apart

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The headings and the rows."""


def write_comparison(folder: Path, comparison: ModelComparison) -> Path:
    """Write `comparison.json` and `comparison.html`; returns the page."""
    names = list(comparison.models)
    page = fill_page(
        "comparison.html",
        escape(f"Comparison of {', '.join(names[:-1])} and {names[-1]}"),
        summary=escape(summarize(comparison)),
        notes="".join(f"<p>{escape(note)}.</p>" for note in comparison.notes),
        figures=html_table(*figure_table(comparison)),
        differences=html_table(*difference_table(comparison)),
        charts=_charts(comparison),
        ties=_ties(comparison),
        models=html_table(*model_table(comparison)),
        speeds=_speeds(comparison),
        items="".join(map(_items, comparison.tasks)),
        answers=_answers(comparison),
    )
    path = folder / "comparison.html"
    write_json(folder / "comparison.json", comparison.to_json())  # first, since it tells what the folder holds
    write_text(path, page)
    return path


def summarize(comparison: ModelComparison) -> str:
    """How many differences the items show."""
    better = [name for *_, name in comparison.verdicts()]
    counts = [f"{name} is better in {better.count(name)}" for name in comparison.models if name in better]
    outcome = ", ".join([*counts, f"{comparison.num_comparisons - len(better)} tied"])
    return f"Comparisons of two models in one figure: {comparison.num_comparisons}; {outcome}."


def short_table(comparison: ModelComparison) -> Table:
    """For the terminal: each figure, and how the other models differ from the first one."""
    rows = []
    for task in comparison.tasks:
        for n, figure in enumerate(task.figures):
            pairs = {pair[1]: pair for pair in comparison.pairs(figure)}
            for m, (name, metric) in enumerate(figure.metrics.items()):
                titles = [task.name if n == m == 0 else "", _figure_name(figure) if m == 0 else "", name]
                gain = Metric(nan) if name not in pairs else figure.differences[pairs[name]].gain
                difference = f"{gain.value:+.3f}" if isfinite(gain.value) else ""
                interval = "" if gain.low is None or gain.high is None else f"{gain.low:+.3f} to {gain.high:+.3f}"
                better = (figure.better(pairs[name]) or "tied") if name in pairs else ""
                rows.append([*titles, f"{metric.value:.3f}", difference, interval, better])
    return ["task", "figure", "model", "value", "difference", "95% interval", "better"], rows


def figure_table(comparison: ModelComparison) -> Table:
    """Each figure of each model."""
    rows = []
    for task in comparison.tasks:
        for n, figure in enumerate(task.figures):
            chance = "" if n or task.chance is None else f"{task.chance:.3f}"
            values = [_format_metric(figure.metrics.get(name)) for name in comparison.models]
            rows.append([task.name if n == 0 else "", _figure_name(figure), f"{figure.count:,}", *values, chance])
    return ["task", "figure", "items", *comparison.models, "chance"], rows


def difference_table(comparison: ModelComparison) -> Table:
    """The differences between the first model and each other one."""
    rows = []
    for task in comparison.tasks:
        for figure in task.figures:
            for pair in comparison.pairs(figure):
                difference = figure.differences[pair]
                rows.append(
                    [
                        task.name,
                        _figure_name(figure),
                        " - ".join(reversed(pair)),
                        _format_metric(difference.gain, sign="+"),
                        _format_p_value(difference.p_value),
                        _format_p_value(difference.adjusted_p_value),
                        f"{difference.detectable:.3f}" if isfinite(difference.detectable) else "",
                        figure.better(pair) or "tied",
                    ]
                )
    return ["task", "figure", "difference", "value (95% interval)", "p", "adjusted p", "detectable", "better"], rows


def model_table(comparison: ModelComparison) -> Table:
    """The sizes of the models."""
    rows = [
        [
            name,
            format_count(model.parameters),
            format_bytes(model.weight_bytes),
            f"{model.vocabulary:,}",
            f"{model.bytes_per_token:.2f}",
            f"{model.context:,}",
        ]
        for name, model in comparison.models.items()
    ]
    return ["model", "parameters", "on disk", "vocabulary", "bytes per token", "context"], rows


def speed_table(comparison: ModelComparison) -> Table:
    """The speeds of the models, in tokens per second, and their energy; no rows if they were not measured."""
    speeds = {name: model.speed for name, model in comparison.models.items() if model.speed is not None}
    rows = [
        [name, _format_rate(speed.prefill), _format_rate(speed.decode), _format_joules(speed.energy)]
        for name, speed in speeds.items()
    ]
    return ["tokens per second", "reading (prefill)", "writing (decode)", "joules per token written"], rows


def describe_speeds(comparison: ModelComparison) -> str:
    """How and where the speeds were measured; empty if they were not."""
    if not speed_table(comparison)[1]:
        return ""
    methods = {model.speed.energy.method for model in comparison.models.values() if model.speed is not None}
    return (
        f"One request at a time, the models in turns: the median (lowest to highest) of {ROUNDS}, on {comparison.machine}. "
        f"Joules by {' and '.join(sorted(methods))}, with the interval of the method, whose errors are the same for all "
        "models: their ratio is more certain than each number."
    )


def _figure_name(figure: ComparedFigure) -> str:
    return figure.measure.name + ("" if figure.measure.higher_is_better else " \N{DOWNWARDS ARROW}")


def _format_metric(metric: Metric | None, sign: str = "") -> str:
    if metric is None:
        return ""
    if metric.low is None or metric.high is None or not isfinite(metric.value):
        return f"{metric.value:{sign}.3f}" if isfinite(metric.value) else "no finite value"
    return f"{metric.value:{sign}.3f} ({metric.low:{sign}.3f} to {metric.high:{sign}.3f})"


def _format_p_value(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return f"{p_value:.3f}" if p_value >= MIN_P_VALUE else f"< {MIN_P_VALUE}"


def _format_rate(rate: Rate) -> str:
    return f"{rate.value:,.0f} ({rate.low:,.0f} to {rate.high:,.0f})"


def _format_joules(energy: TokenEnergy) -> str:
    value, low, high = (format_figure(joules) for joules in (energy.joules, energy.low, energy.high))
    return f"{value} ({low} to {high})"


def _speeds(comparison: ModelComparison) -> str:
    description = describe_speeds(comparison)
    return f"<p>{escape(description)}</p>{html_table(*speed_table(comparison))}" if description else ""


def _charts(comparison: ModelComparison) -> str:
    """The differences as bars, one chart for proportions and one for each other figure."""
    charts: dict[str, list[Interval]] = {}
    only_two = len(comparison.models) == 2
    for task in comparison.tasks:
        for figure in task.figures:
            for pair in comparison.pairs(figure):
                gain, sign = figure.differences[pair].gain, 1 if figure.measure.higher_is_better else -1
                if isfinite(gain.value):
                    unit = "proportion" if figure.measure.form == "proportion" else figure.measure.name
                    ends = sorted(sign * end for end in (gain.low, gain.high) if end is not None) or (None, None)
                    name = f"{task.name}, {figure.measure.name}" + ("" if only_two else f": {pair[1]}")
                    charts.setdefault(unit, []).append(Interval(name, sign * gain.value, *ends))
    first, *others = comparison.models
    other = others[0] if only_two else "the other model"
    label = f"{first} is better ← 0 → {other} is better"
    return "".join(interval_chart(intervals, x_label=f"{label} ({unit})") for unit, intervals in charts.items())


def _ties(comparison: ModelComparison) -> str:
    if len(comparison.models) == 2:
        return ""
    rows = []
    for task in comparison.tasks:
        for figure in task.figures:
            if figure.tied_with:
                ties = [", ".join(figure.tied_with.get(name, ())) or "none" for name in comparison.models]
                rows.append([task.name, figure.measure.name, *ties])
    return f"<h3>Which models are tied with each model</h3>{html_table(['task', 'figure', *comparison.models], rows)}"


def _items(task: ComparedTask) -> str:
    groups: dict[tuple[str, ...], list[DifferingItem]] = {}
    for item in task.differing:
        groups.setdefault(item.best, []).append(item)
    count = task.figures[0].count
    summary = f"{task.name}: {len(task.differing):,} of {count:,}, by {task.judged_by.name}"
    parts = [f"<details><summary>{escape(summary)}</summary>"]
    for best, items in groups.items():
        shown = items[:MAX_ITEMS_PER_GROUP]
        heading = f"{_describe_group(task, best)}: {len(items):,} items"
        heading += f", of which {len(shown)} are shown" if len(shown) < len(items) else ""
        parts.append(f"<h3>{escape(heading)}</h3>{''.join(_item(task, item) for item in shown)}")
    return "".join([*parts, "</details>"])


def _describe_group(task: ComparedTask, best: Sequence[str]) -> str:
    if not task.judged_by.tells_right_from_wrong:
        return f"{best[0]} is better"
    return f"Only {best[0]} is right" if len(best) == 1 else f"Right are {' and '.join(best)}"


def _item(task: ComparedTask, item: DifferingItem) -> str:
    rows = {"right answer": item.gold} if item.gold else {}
    for name, answer in item.answers.items():
        number = f"{item.numbers[name]:.3f}" if not task.judged_by.tells_right_from_wrong else ""
        mark = "✓ " if name in item.best else ""
        rows[f"{mark}{name}"] = "\n".join(filter(None, (number, answer)))
    return f"<p>{escape(item.origin)}</p><pre>{escape(item.question)}</pre><table>{key_value_rows(rows)}</table>"


def _answers(comparison: ModelComparison) -> str:
    answers = "".join(
        f"<pre>{escape(answered.prompt)}</pre><table>{key_value_rows(answered.answers)}</table>"
        for answered in comparison.answers
    )
    manner = "Without sampling, and through the chat template if the model has one."
    return f"<h2>Answers to the same prompts</h2><p>{manner}</p>{answers}" if answers else ""
