"""Measured metrics with 95% intervals: proportions and mean losses on held-out data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import exp, inf, isfinite, sqrt
from statistics import NormalDist

import torch

from lmcraft.data.loader import IGNORE_INDEX, Batch, Dataset
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.objective import Objective

Z = NormalDist().inv_cdf(0.975)  # for 95% intervals
MAX_ROWS = 256
MAX_EXPONENT = 709  # exp(710) overflows a float64


@dataclass(frozen=True)
class Metric:
    """A measured number and the ends of its 95% interval, which are None if there are too few measurements."""

    value: float
    low: float | None = None
    high: float | None = None

    def mapped(self, function: Callable[[float], float]) -> "Metric":
        """A monotonic function of the number, with the ends of its interval; without an interval if they are not finite."""
        ends = [] if self.low is None or self.high is None else sorted(map(function, (self.low, self.high)))
        return Metric(function(self.value), *(ends if all(map(isfinite, ends)) else ()))


def proportion(successes: int, trials: int) -> Metric:
    """A proportion with Wilson's interval (1927), which also holds for few trials."""
    p, n = successes / trials, trials
    middle, half = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return Metric(p, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def perplexity(loss: float) -> float:
    """exp(loss), or infinity where that is no longer a float64."""
    return exp(loss) if loss < MAX_EXPONENT else inf


def describe_metric(metric: Mapping[str, float | None]) -> str:
    """The number, and its interval if there is one, from the fields of a `Metric`."""
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    if value is None:  # JSON has no other number for infinity
        return "infinite"
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f} to {high:.3f})"


@torch.no_grad()
def mean_loss(model: Transformer, objective: Objective, rows: Dataset) -> Metric:
    """The validation loss of at most MAX_ROWS rows; the interval, of two or more, is that of a ratio of sums over rows."""
    objective = objective.for_batches(model, (tensors for _, tensors in iterate_rows(model, rows)), lambda *sums: [*sums])
    model.eval()
    sums, counts = [], []
    for batch, tensors in iterate_rows(model, rows):
        sums.append(float(objective.measure(model, tensors)))
        counts.append(objective.count(batch))
    total = max(1, sum(counts))
    mean, n = sum(sums) / total, len(sums)
    squares = sum((s - mean * c) ** 2 for s, c in zip(sums, counts, strict=True))
    if n < 2:
        return Metric(mean)
    half = Z * sqrt(squares * n / (n - 1)) / total
    return Metric(mean, mean - half, mean + half)


def iterate_rows(model: Transformer, rows: Dataset, limit: int = MAX_ROWS) -> Iterator[tuple[Batch, TensorBatch]]:
    """The first rows, each as a batch of one, on the model's device; rows without targets or values are skipped."""
    for sample in islice(rows.ordered(), limit):
        batch = Batch.stack([sample]).trim_padding()
        if (batch.targets != IGNORE_INDEX).any() or batch.values is not None:
            yield batch, to_device(batch, model.device)
