"""How good a model is at what it is tuned for, on data that were held out, each figure with its interval."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import sqrt
from statistics import NormalDist

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Batch, Dataset
from lmcraft.finetuning.classify import Pooling, Report, assess, scores
from lmcraft.finetuning.preference import document_log_probs
from lmcraft.finetuning.reward import margins
from lmcraft.model.transformer import Transformer
from lmcraft.training.loop import to_device
from lmcraft.training.objective import Objective, TensorBatch

Z = NormalDist().inv_cdf(0.975)  # of 95% intervals
MOST_ROWS = 256


@dataclass(frozen=True)
class Figure:
    """A measured number and the ends of its 95% interval."""

    value: float
    low: float
    high: float


def share(right: int, of: int) -> Figure:
    """A share of cases, with Wilson's interval (1927), which holds for few cases too."""
    p, n = right / of, of
    middle, half = p + Z * Z / (2 * n), Z * sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    scale = 1 + Z * Z / n
    return Figure(p, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


@torch.no_grad()
def mean_loss(model: Transformer, objective: Objective, rows: Dataset) -> Figure:
    """The objective on held-out rows, as training measures it; the interval is that of a ratio of sums over rows."""
    model.eval()
    sums, counts = [], []
    for batch, tensors in _batches(model, rows):
        sums.append(float(objective.measure(model, tensors)))
        counts.append(objective.count(batch))
    total = max(1, sum(counts))
    mean, n = sum(sums) / total, len(sums)
    apart = sum((s - mean * c) ** 2 for s, c in zip(sums, counts, strict=True))
    half = Z * sqrt(apart * n / max(1, n - 1)) / total if n > 1 else float("inf")
    return Figure(mean, mean - half, mean + half)


@torch.no_grad()
def preference_accuracy(model: Transformer, rows: Dataset, *, per_token: bool, since_start: bool = False) -> Figure:
    """The share of pairs whose better answer the model finds likelier, by its log-probability or that of a token.

    With `since_start` it is the share whose better answer has gained more than the worse one since the start (the accuracy
    of DPO's implicit rewards, arXiv 2305.18290, section 4).
    """
    model.eval()
    right = pairs = 0
    for _, tensors in _batches(model, rows):
        log_probs, counts = document_log_probs(model, tensors)
        if since_start:
            assert tensors.values is not None
            log_probs = log_probs - tensors.values[:, :2]
        found = log_probs / counts.clamp(min=1) if per_token else log_probs
        right, pairs = right + int((found[:, 0] > found[:, 1]).sum()), pairs + len(found)
    return share(right, pairs)


@torch.no_grad()
def reward_accuracy(model: Transformer, rows: Dataset) -> Figure:
    """The share of pairs whose better answer has the larger reward."""
    model.eval()
    found = torch.cat([margins(model, tensors) for _, tensors in _batches(model, rows)])
    return share(int((found > 0).sum()), len(found))


@torch.no_grad()
def classification(model: Transformer, rows: Dataset, labels: tuple[str, ...], pooling: Pooling, *, several: bool) -> Report:
    """How well the model's head finds the labels of held-out texts."""
    model.eval()
    found: list[Tensor] = []
    true: list[Tensor] = []
    for _, tensors in _batches(model, rows, MOST_ROWS * 100):
        logits, targets = scores(model, tensors, pooling)
        found.append(logits)
        true.append(targets)
    return assess(torch.cat(found), torch.cat(true), labels, several=several)


def _batches(model: Transformer, rows: Dataset, most: int = MOST_ROWS) -> Iterator[tuple[Batch, TensorBatch]]:
    for sample in islice(rows.ordered(), most):
        batch = Batch.stack([sample]).trim_padding()
        if (batch.targets != IGNORE_INDEX).any() or batch.values is not None:
            yield batch, to_device(batch, model.device)
