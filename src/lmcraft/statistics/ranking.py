"""How well scores rank: the positive items first."""

import numpy as np
from numpy.typing import ArrayLike

from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import Clusters, Floats, Metric


def average_precision(scores: ArrayLike, positive: ArrayLike, clusters: Clusters = None) -> Metric:
    """The area under the precision-recall curve, by steps, with its bootstrap interval. Chance is the share of positives.

    Args:
        scores: Of each item, (N,); equal scores share their rank.
        positive: Whether each item is positive, (N,).
        clusters: The name of each item's cluster, (N,).
    """
    return bootstrap(np.column_stack([scores, positive]), step_area, clusters)


def step_area(samples: Floats) -> Floats:
    """The average precision of samples of items: score and whether it is positive, (samples, items, 2)."""
    order = np.argsort(-samples[:, :, 0], axis=1, kind="stable")
    scores = np.take_along_axis(samples[:, :, 0], order, axis=1)
    positives = np.take_along_axis(samples[:, :, 1], order, axis=1)
    true = np.cumsum(positives, axis=1)
    ranks = np.arange(1, samples.shape[1] + 1)
    # an item's precision is that of the last item with its score
    last = np.where(
        np.append(scores[:, 1:] != scores[:, :-1], np.ones((len(samples), 1), bool), axis=1), ranks - 1, len(ranks)
    )
    last = np.minimum.accumulate(last[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(true / ranks, last, axis=1)
    area: Floats = (precision * positives).sum(axis=1) / true[:, -1]
    return area
