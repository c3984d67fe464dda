"""Accuracy, F1 and the confusion matrix of a classifier on held-out texts.

Shapes: N texts, L labels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.data.loader import Dataset
from lmcraft.finetuning.head import Labels, head_outputs, multi_hot
from lmcraft.finetuning.metrics import iterate_rows
from lmcraft.model.transformer import Transformer

MAX_ROWS = 25_600


@dataclass(frozen=True)
class LabelReport:
    """A classifier's results on held-out texts."""

    labels: tuple[str, ...]
    accuracy: float
    """Share of texts whose label, or whose whole set of labels, is right."""
    macro_f1: float
    f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true labels, columns: predicted labels. With several labels per text, one row per label: true negatives, false
    positives, false negatives, true positives."""
    texts: int


@torch.no_grad()
def evaluate_labels(model: Transformer, rows: Dataset, labels: Labels) -> LabelReport:
    """Classify held-out texts and compare with their labels."""
    model.eval()
    outputs: list[Tensor] = []
    targets: list[Tensor] = []
    for _, tensors in iterate_rows(model, rows, MAX_ROWS):
        batch_outputs, batch_targets = head_outputs(model, tensors, labels.pooling)
        outputs.append(batch_outputs)
        targets.append(batch_targets)
    return build_report(torch.cat(outputs), torch.cat(targets), labels)


def build_report(outputs_NL: Tensor, targets_N: Tensor, labels: Labels) -> LabelReport:
    """Compare the head's outputs with the targets."""
    L = len(labels.names)
    outputs_NL, targets_N = outputs_NL.cpu(), targets_N.cpu()  # float64 below, which not every GPU has
    if labels.multi_label:
        predicted, true = outputs_NL > 0, multi_hot(targets_N, L).bool()
        accuracy = (predicted == true).all(dim=1).double().mean()
        tp, fp, fn = ((a & b).sum(dim=0).double() for a, b in ((predicted, true), (predicted, ~true), (~predicted, true)))
        counts = torch.stack([(~predicted & ~true).sum(0), (predicted & ~true).sum(0), fn.long(), tp.long()], dim=1)
        confusion = [[int(n) for n in row] for row in counts]
    else:
        predicted_N = outputs_NL.argmax(dim=1)
        accuracy = (predicted_N == targets_N).double().mean()
        matrix = torch.zeros(L, L, dtype=torch.int64)
        ones = torch.ones(len(predicted_N), dtype=torch.int64)
        matrix.index_put_((targets_N, predicted_N), ones, accumulate=True)
        tp = matrix.diagonal().double()
        fp, fn = matrix.sum(dim=0) - tp, matrix.sum(dim=1) - tp
        confusion = matrix.tolist()
    f1 = (2 * tp / (2 * tp + fp + fn).clamp(min=1)).tolist()
    return LabelReport(
        labels.names, float(accuracy), sum(f1) / L, tuple(f1), tuple(tuple(row) for row in confusion), len(targets_N)
    )
