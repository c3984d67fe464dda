"""Computes figures, their comparison with a reference model, and gaps between groups from the results of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lmcraft.audits.safety.gaps import Gap, answer_groups, measure_gap
from lmcraft.audits.safety.parts import Panel
from lmcraft.audits.safety.results import AuditFigure
from lmcraft.evaluation.methods import Method
from lmcraft.evaluation.results import ItemResult, Measure, TaskResult, compare_results, compute_metric
from lmcraft.statistics.multiple import adjusted_p_values

GROUP_MEASURE = "mean_toxicity"
ANSWER_MEASURE = "acc_norm"
MAX_EXAMPLES = 10
Results = Mapping[str, TaskResult]
"""By the name of the task."""


def compute_figures(panels: Sequence[Panel], methods: Mapping[str, Method], *models: Results) -> list[AuditFigure]:
    """The figures of the first model, compared with the second one if there is one; all p-values are adjusted together.

    Args:
        panels: what was measured.
        methods: by the name of the task.
        models: the results of the model and of the reference.
    """
    figures: list[AuditFigure] = []
    for panel in panels:
        by_name = {measure.name: measure for measure in methods[panel.key].measures}
        for name in panel.figures:
            measure = by_name[name]
            scored = [_scored(panel, measure, results) for results in models]
            common = [key for key in scored[0] if all(key in items for items in scored)]
            if common:
                figures.append(_figure(panel, measure, [[items[key] for key in common] for items in scored]))
    adjusted = adjusted_p_values([figure.comparison.p_value if figure.comparison else None for figure in figures])
    return [replace(figure, adjusted_p_value=p_value) for figure, p_value in zip(figures, adjusted, strict=True)]


def _scored(panel: Panel, measure: Measure, results: Results) -> dict[tuple[str, int], ItemResult]:
    """The items that have a number of a measure, by task and item."""
    return {
        (task.name, item.item): item
        for task in panel.tasks
        for item in results[task.name].items
        if measure.name in item.values
    }


def _figure(panel: Panel, measure: Measure, models: Sequence[Sequence[ItemResult]]) -> AuditFigure:
    metrics = [compute_metric(measure, items) for items in models]
    figure = AuditFigure(panel.part, panel.key, panel.title, measure, len(models[0]), metrics[0])
    if len(models) == 1:
        return figure
    return replace(figure, reference=metrics[1], comparison=compare_results(measure, models[1], models[0]))


def compute_gaps(panels: Sequence[Panel], methods: Mapping[str, Method], results: Results) -> list[Gap]:
    """The gaps of a model between the groups of each attribute: in the toxicity of continuations, and in right answers."""
    gaps: list[Gap | None] = []
    for panel in panels:
        if panel.key == "groups_described":
            gaps += _continuation_gaps(panel, methods, results)
        elif panel.key == "bbq_disambiguated":
            gaps += _answer_gaps(panel, methods, results)
    measured = [gap for gap in gaps if gap is not None]
    adjusted = adjusted_p_values([gap.p_value for gap in measured])
    return [replace(gap, adjusted_p_value=p_value) for gap, p_value in zip(measured, adjusted, strict=True)]


def _continuation_gaps(panel: Panel, methods: Mapping[str, Method], results: Results) -> list[Gap | None]:
    by_attribute: dict[str, list[tuple[float, str, str]]] = {}
    for task in panel.tasks:
        rows = {row.number: row.values for row in methods[task.name].rows}
        for item in results[task.name].items:
            if GROUP_MEASURE in item.values:
                row = rows[item.item]
                by_attribute.setdefault(row["attribute"], []).append((item.values[GROUP_MEASURE], row["group"], task.name))
    return [measure_gap(panel.title, attribute, entries) for attribute, entries in by_attribute.items()]


def _answer_gaps(panel: Panel, methods: Mapping[str, Method], results: Results) -> list[Gap | None]:
    """Gaps in how often the model sees who is meant, by the group of the right answer."""
    method = methods[panel.key]
    rows = {row.number: row for row in method.rows}
    by_attribute: dict[str, list[tuple[float, str, str]]] = {}
    for item in results[panel.key].items:
        for attribute, group in answer_groups(method.gold_text(rows[item.item])).items():
            by_attribute.setdefault(attribute, []).append((item.values[ANSWER_MEASURE], group, ""))
    return [measure_gap(panel.title, attribute, entries) for attribute, entries in by_attribute.items()]


def count_skipped(panels: Sequence[Panel], results: Results) -> dict[str, int]:
    """How many prompts of each panel are too long for the model, by its title; panels without such prompts are left out."""
    counts = {
        panel.title: sum(not item.values for task in panel.tasks for item in results[task.name].items) for panel in panels
    }
    return {title: count for title, count in counts.items() if count}


def find_refused(panels: Sequence[Panel], results: Results, written: Results) -> list[tuple[str, str]]:
    """Some harmless questions that a model refuses, and its answers.

    Args:
        panels: what was measured.
        results: the numbers.
        written: the texts.
    """
    refused = []
    for task in (task for panel in panels if panel.part == "over_refusal" for task in panel.tasks):
        texts = {item.item: item.details for item in written[task.name].items}
        items = [texts[item.item] for item in results[task.name].items if item.values.get("over_refusal")]
        refused += [(item["prompt"], item["texts"][0]) for item in items]
    return refused[:MAX_EXAMPLES]
