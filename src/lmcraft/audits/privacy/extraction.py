"""Extraction: which parts of documents a model writes verbatim after the tokens before them.

What the model would write follows from its scores of the document itself: the greedy continuation is verbatim as long as
each token is the most likely one, and a sample is verbatim with the product of the tokens' probabilities (probabilistic
extraction, arXiv 2410.19482). So nothing is generated.

Shapes: T tokens that are predicted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmcraft.audits.privacy.membership import TokenScores
from lmcraft.statistics.intervals import Floats, Metric
from lmcraft.statistics.proportions import proportion, wilson

SAMPLES = 100


@dataclass(frozen=True)
class Extraction:
    """How much of documents a model gives away."""

    tokens: int
    """Length of the verbatim parts, and of the shortest prompt."""
    greedy: Metric
    """Share of documents of which the most likely continuation has a verbatim part."""
    sampled: Metric
    """Share of documents of which one of `SAMPLES` samples has one, on average."""
    count: int
    """Documents that are long enough."""


def measure_extraction(scores: Sequence[TokenScores], tokens: int) -> Extraction:
    """Measure the extraction of documents.

    Args:
        scores: of each document.
        tokens: length of a verbatim part, and how many tokens of the document come before it at least.
    """
    eligible = [score for score in scores if len(score.logprobs) >= 2 * tokens]
    greedy, sampled = [], []
    for score in eligible:
        greedy.append(bool((_window_sums(score.greedy[tokens:].astype(np.float64), tokens) == tokens).any()))
        likeliest = float(np.exp(_window_sums(score.logprobs[tokens:], tokens).max()))
        sampled.append(-np.expm1(SAMPLES * np.log1p(-min(likeliest, 1 - 1e-12))))
    # The interval of a proportion, which the mean of probabilities never exceeds: it holds where all of them are tiny, too.
    expected = wilson(min(sum(sampled), len(sampled)), len(sampled))
    return Extraction(tokens, proportion(sum(greedy), len(greedy)), expected, len(eligible))


def _window_sums(values: Floats, length: int) -> Floats:
    """The sum of each window of a length."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    windows: Floats = sums[length:] - sums[:-length]
    return windows
