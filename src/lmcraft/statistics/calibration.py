"""Whether probabilities mean what they say: of the answers given with 70%, 70% should be right.

Shapes: N items, K choices of each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import Clusters, Floats, Metric
from lmcraft.statistics.proportions import proportion

BINS = 10
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
SEARCH_STEPS = 60  # of the golden section, each of which leaves 62% of the range


@dataclass(frozen=True)
class Bin:
    """The items of similar confidence."""

    confidence: float
    """The mean probability of the chosen answers, 0 to 1."""
    accuracy: Metric
    """The share of right answers."""
    count: int


def brier_scores(probabilities: Sequence[Sequence[float]], gold: Sequence[int]) -> list[float]:
    """The squared distance of each item's probabilities from the right answer (Brier 1950), from 0 to 2; lower is better.

    Args:
        probabilities: of each item's choices, which may differ in number.
        gold: the index of each item's right choice.
    """
    return [sum((p - (k == right)) ** 2 for k, p in enumerate(row)) for row, right in zip(probabilities, gold, strict=True)]


def calibration_error(confidences: ArrayLike, correct: ArrayLike, clusters: Clusters = None) -> Metric:
    """The mean distance between confidence and accuracy, over bins of equally many items, with its bootstrap interval.

    This is the expected calibration error with adaptive bins (arXiv 1904.01685, section 3). Noise makes it positive even for
    perfect probabilities, the more so the fewer the items are.

    Args:
        confidences: The probability of each chosen answer, (N,).
        correct: Whether it is right, (N,).
        clusters: The name of each item's cluster, (N,).
    """
    return bootstrap(np.column_stack([confidences, correct]), binned_error, clusters)


def binned_error(samples: Floats) -> Floats:
    """The calibration error of samples of items: confidence and whether it is right, (samples, items, 2)."""
    order = np.argsort(samples[:, :, 0], axis=1, kind="stable")
    gaps = np.take_along_axis(samples[:, :, 0] - samples[:, :, 1], order, axis=1)
    parts = np.array_split(gaps, min(BINS, gaps.shape[1]), axis=1)
    total: Floats = np.sum([np.abs(part.sum(axis=1)) for part in parts], axis=0) / gaps.shape[1]
    return total


def reliability_bins(confidences: ArrayLike, correct: ArrayLike) -> list[Bin]:
    """The bins of a reliability diagram, by rising confidence; arguments as in `calibration_error`."""
    confidence_N, correct_N = np.asarray(confidences, dtype=float), np.asarray(correct, dtype=float)
    order = np.argsort(confidence_N, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    return [
        Bin(float(confidence_N[part].mean()), proportion(int(correct_N[part].sum()), len(part)), len(part)) for part in parts
    ]


def fit_temperature(log_probabilities: Sequence[Sequence[float]], gold: Sequence[int]) -> float:
    """The temperature that makes the right answers most likely (arXiv 1706.04599, section 4.2).

    Args:
        log_probabilities: Of each item's choices, up to a constant per item.
        gold: The index of each item's right choice.

    Returns:
        What the logs are to be divided by: above 1 if the probabilities are too sure; 1 for no items.
    """
    if not gold:
        return 1.0
    width = max(map(len, log_probabilities))
    logs_NK = np.full((len(gold), width), -np.inf)
    for n, row in enumerate(log_probabilities):
        logs_NK[n, : len(row)] = row
    logs_NK -= logs_NK.max(axis=1, keepdims=True)
    right_N = logs_NK[np.arange(len(gold)), gold]

    def loss(log_temperature: float) -> float:
        scale = np.exp(-log_temperature)
        return float((np.log(np.exp(logs_NK * scale).sum(axis=1)) - right_N * scale).mean())

    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)  # the loss has one minimum between them
    ratio = (np.sqrt(5) - 1) / 2
    for _ in range(SEARCH_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))
