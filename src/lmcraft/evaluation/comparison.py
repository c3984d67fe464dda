"""Models compared on the same items: paired differences, ties instead of ranks, and the items on which the models differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import nan

from lmcraft.evaluation.compared import ComparedFigure, ComparedTask, Difference, DifferingItem, Pair
from lmcraft.evaluation.methods import Method
from lmcraft.evaluation.results import ItemResult, Measure, TaskResult, compare_results, compute_metric
from lmcraft.statistics.multiple import adjusted_p_values, tied_sets
from lmcraft.statistics.paired import Comparison

MAX_TEXT_CHARACTERS = 2000  # of a question or an answer; a text to predict may be a whole book


def compare_tasks(
    methods: Mapping[str, Method], results: Mapping[str, Mapping[str, TaskResult]]
) -> tuple[list[ComparedTask], list[str]]:
    """Compare models on tasks; all p-values are adjusted together.

    Args:
        methods: by the name of the task.
        results: by the name of the task and of the model; models that could not do a task are missing there.

    Returns:
        The tasks, and a sentence for each that cannot be compared.
    """
    paired, notes = {}, []
    for task, method in methods.items():
        items = {name: result.items for name, result in results[task].items()}
        if len(items) < 2:
            notes.append(f"task '{task}' is not compared: fewer than two models have results")
        elif figures := _pair_figures(method.measures, items):
            paired[task] = figures
        else:
            notes.append(f"task '{task}' is not compared: no item has a result of every model")
    keys = [(task, n, pair) for task in paired for n, figure in enumerate(paired[task]) for pair in figure.comparisons]
    p_values = [paired[task][n].comparisons[pair].p_value for task, n, pair in keys]
    adjusted = dict(zip(keys, adjusted_p_values(p_values), strict=True))
    tasks = []
    for task, figures in paired.items():
        compared = [
            figure.finish({pair: adjusted[task, n, pair] for pair in figure.comparisons}) for n, figure in enumerate(figures)
        ]
        chance = next(iter(results[task].values())).chance
        judged = next((figure for figure in figures if figure.measure.tells_right_from_wrong), figures[0])
        tasks.append(ComparedTask(task, chance, compared, judged.measure, _differing_items(methods[task], judged)))
    return tasks, notes


@dataclass(frozen=True)
class _PairedFigure:
    """The items of a figure that all models have, in the same order, before its p-values are adjusted."""

    measure: Measure
    results: Mapping[str, Sequence[ItemResult]]

    @cached_property
    def comparisons(self) -> dict[Pair, Comparison]:
        """All pairs; none if one of them cannot be compared."""
        pairs = list(combinations(self.results, 2))
        compared = [compare_results(self.measure, *(self.results[name] for name in pair)) for pair in pairs]
        comparisons = {pair: comparison for pair, comparison in zip(pairs, compared, strict=True) if comparison is not None}
        return comparisons if len(comparisons) == len(pairs) else {}

    def finish(self, adjusted: Mapping[Pair, float | None]) -> ComparedFigure:
        differences = {
            pair: Difference(comparison.gain, comparison.p_value, adjusted[pair], comparison.detectable, comparison.test)
            for pair, comparison in self.comparisons.items()
        }
        metrics = {name: compute_metric(self.measure, results) for name, results in self.results.items()}
        ties = tied_sets(list(self.results), adjusted) if adjusted else {}
        return ComparedFigure(self.measure, len(next(iter(self.results.values()))), metrics, differences, ties)


def _pair_figures(measures: Sequence[Measure], items: Mapping[str, Sequence[ItemResult]]) -> list[_PairedFigure]:
    """Each measure over the items that all models have a number of."""
    figures = []
    for measure in measures:
        by_item = [
            {result.item: result for result in results if measure.name in result.values} for results in items.values()
        ]
        if common := sorted(set.intersection(*map(set, by_item))):
            paired = {name: [scored[item] for item in common] for name, scored in zip(items, by_item, strict=True)}
            figures.append(_PairedFigure(measure, paired))
    return figures


def _differing_items(method: Method, figure: _PairedFigure) -> list[DifferingItem]:
    measure, rows = figure.measure, {row.number: row for row in method.rows}
    items: list[DifferingItem] = []
    for results in zip(*figure.results.values(), strict=True):
        outcomes = dict(zip(figure.results, results, strict=True))
        numbers = {name: _number(measure, result) for name, result in outcomes.items()}
        best = (max if measure.higher_is_better else min)(numbers.values())
        names = tuple(name for name, number in numbers.items() if number == best)
        if len(names) < len(numbers):
            row = rows[results[0].item]
            question, gold = method.question_text(row), method.gold_text(row)
            answers = {name: _shorten(method.answer_text(row, result)) for name, result in outcomes.items()}
            gold = "" if gold == question else _shorten(gold)
            items.append(DifferingItem(row.origin, _shorten(question), gold, answers, numbers, names))
    if not measure.tells_right_from_wrong:
        items.sort(key=lambda item: min(item.numbers.values()) - max(item.numbers.values()))
    return items


def _number(measure: Measure, result: ItemResult) -> float:
    weight = result.weights[measure.name] if measure.form == "ratio" else 1
    return result.values[measure.name] / weight if weight else nan


def _shorten(text: str) -> str:
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    return f"{text[:MAX_TEXT_CHARACTERS]}... ({len(text):,} characters)"
