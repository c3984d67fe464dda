"""What a model did on the items of a task, and the figures computed from it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.calibration import binned_error, calibration_error
from lmcraft.statistics.intervals import Floats, Metric, mean_interval, ratio_interval
from lmcraft.statistics.paired import Comparison, compare_paired, paired_bootstrap
from lmcraft.statistics.proportions import clustered_proportion, proportion

Form = Literal["proportion", "mean", "ratio", "calibration", "corpus"]


@dataclass(frozen=True)
class Measure:
    """A figure of a task, computed from a number per item."""

    name: str
    form: Form = "proportion"
    """proportion: the share of items of 1; mean: the mean over items; ratio: the sum over items, divided by that of their
    weights (bits per byte); calibration: the numbers are the confidence in each choice, which is right where `acc` is 1;
    corpus: a function of the items' counts, added up (BLEU), which no item has a share of."""
    higher_is_better: bool = True
    of_sums: Callable[[Sequence[float]], float] | None = None
    """For the form corpus: that function."""

    @property
    def tells_right_from_wrong(self) -> bool:
        """Whether 1 means that an item is right, and 0 that it is wrong."""
        return self.form == "proportion" and self.higher_is_better


CALIBRATION = (
    Measure("brier", "mean", higher_is_better=False),
    Measure("ece", "calibration", higher_is_better=False),
)


@dataclass(frozen=True)
class ItemResult:
    """The outcome of one item."""

    item: int
    """Index of the item in its task; 0 is the first."""
    values: Mapping[str, float] = field(default_factory=dict)
    """The number of each measure."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """For measures that are ratios: what the number is divided by."""
    cluster: str = ""
    """What the item shares with others, such as the passage; empty: nothing."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """For people: the prompt, the answer, the probabilities of the choices."""
    sums: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """For measures of a corpus: the counts that are added up; the number is then that of the item on its own."""

    def to_json(self) -> dict[str, Any]:
        """As one line of a results file."""
        return {name: value for name, value in asdict(self).items() if value or name == "item"}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "ItemResult":
        """The inverse of `to_json`."""
        return cls(**row)


@dataclass(frozen=True)
class Figure:
    """A measure over all items, with its 95% interval."""

    measure: Measure
    metric: Metric
    count: int
    """Number of items."""


@dataclass(frozen=True)
class Overlap:
    """The items that training data contain."""

    contained: frozenset[int]
    """Numbers of the items."""
    unchecked: frozenset[int]
    """Numbers of the items that are too short to tell."""


@dataclass(frozen=True)
class TaskResult:
    """The results of one task."""

    task: str
    figures: Sequence[Figure]
    chance: float | None
    """What a model that guesses would reach in the first figure; None if that is next to nothing."""
    items: Sequence[ItemResult]
    file: Path
    """The results file."""
    was_cached: bool
    """Whether every result was there before."""
    overlap: Overlap | None = None
    """The items that the training data contain; None if that was not checked."""
    clean_figures: Sequence[Figure] = ()
    """The figures without these items, if there are any."""


def compute_figures(measures: Sequence[Measure], results: Sequence[ItemResult]) -> list[Figure]:
    """Each measure that the items have a number of.

    Items of one cluster are not independent; with clusters, the interval is that of clustered standard errors (arXiv
    2411.00640, section 2.2).
    """
    figures = []
    for measure in measures:
        if scored := [result for result in results if measure.name in result.values]:
            figures.append(Figure(measure, compute_metric(measure, scored), len(scored)))
    return figures


def compute_metric(measure: Measure, results: Sequence[ItemResult]) -> Metric:
    """One measure over items that all have a number of it."""
    values, weights, clusters = _numbers(measure, results)
    if weights is not None:
        return ratio_interval(values, weights, clusters)
    if measure.form == "calibration":
        return calibration_error(values, _correct(results), clusters)
    if measure.of_sums is not None:
        return bootstrap(_sums(measure, results), partial(_score_sums, measure.of_sums), clusters)
    if measure.form == "mean":
        return mean_interval(values, clusters)
    return clustered_proportion(values, clusters) if clusters else proportion(round(sum(values)), len(values))


def compare_results(measure: Measure, first: Sequence[ItemResult], second: Sequence[ItemResult]) -> Comparison | None:
    """Two models compared in one measure.

    Args:
        measure: the measure.
        first: the first model's results, which all have a number of it.
        second: the second model's, for the same items in the same order.

    Returns:
        None if the sums of the models' numbers are divided by different things, such as the tokens of two tokenizers.
    """
    firsts, weights, clusters = _numbers(measure, first)
    seconds, other_weights, _ = _numbers(measure, second)
    if weights != other_weights:
        return None
    if measure.form == "calibration":
        pairs = (list(zip(firsts, _correct(first), strict=True)), list(zip(seconds, _correct(second), strict=True)))
        return paired_bootstrap(*pairs, binned_error, clusters)
    if measure.of_sums is not None:
        sums = (_sums(measure, first), _sums(measure, second))
        return paired_bootstrap(*sums, partial(_score_sums, measure.of_sums), clusters)
    return compare_paired(firsts, seconds, weights, clusters)


def _numbers(measure: Measure, results: Sequence[ItemResult]) -> tuple[list[float], list[float] | None, list[str] | None]:
    """The number of each item; what their sum is divided by, if not their count; and their clusters, if they have any."""
    values = [result.values[measure.name] for result in results]
    weights = [result.weights[measure.name] for result in results] if measure.form == "ratio" else None
    has_clusters = any(result.cluster for result in results)
    return values, weights, [result.cluster or f"item {result.item}" for result in results] if has_clusters else None


def _correct(results: Sequence[ItemResult]) -> list[float]:
    return [result.values["acc"] for result in results]


def _sums(measure: Measure, results: Sequence[ItemResult]) -> list[Sequence[float]]:
    return [result.sums[measure.name] for result in results]


def _score_sums(of_sums: Callable[[Sequence[float]], float], samples: Floats) -> Floats:
    """The score of each sample of items, (samples, items, counts)."""
    return np.array([of_sums(sums.tolist()) for sums in samples.sum(1)])
