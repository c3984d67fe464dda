"""The mean loss on held-out data, with its interval."""

from collections.abc import Iterator
from itertools import islice

import torch

from lmcraft.data.loader import IGNORE_INDEX, Batch, Dataset
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Metric, ratio_interval
from lmcraft.training.batch import TensorBatch, to_device
from lmcraft.training.objective import Objective

MAX_ROWS = 256


@torch.no_grad()
def mean_loss(model: Transformer, objective: Objective, rows: Dataset) -> Metric:
    """The validation loss of at most MAX_ROWS rows; the interval, of two or more, is that of a ratio of sums over rows."""
    objective = objective.for_batches(model, (tensors for _, tensors in iterate_rows(model, rows)), lambda *sums: [*sums])
    model.eval()
    sums, counts = [], []
    for batch, tensors in iterate_rows(model, rows):
        sums.append(float(objective.measure(model, tensors)))
        counts.append(objective.count(batch))
    return ratio_interval(sums, counts)


def iterate_rows(model: Transformer, rows: Dataset, limit: int = MAX_ROWS) -> Iterator[tuple[Batch, TensorBatch]]:
    """The first rows, each as a batch of one, on the model's device; rows without targets or values are skipped."""
    for sample in islice(rows.ordered(), limit):
        batch = Batch.stack([sample]).trim_padding()
        if (batch.targets != IGNORE_INDEX).any() or batch.values is not None:
            yield batch, to_device(batch, model.device)
