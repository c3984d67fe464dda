"""A head on a model that says what a text is: one of several labels, or any number of them.

The head sees the last token of a text, or the mean of all of them; it is a matrix without a bias, called `score`, as in
transformers' models for sequence classification.

Shapes: B rows, T positions, N texts of a batch, C width, L labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.methods import HEAD
from lmcraft.model.linear import Linear
from lmcraft.model.transformer import Transformer
from lmcraft.training.objective import Objective, TensorBatch

MOST_LABELS = 62  # where a text has several: they are the bits of its target
Pooling = Literal["last", "mean"]


def add_head(model: Transformer, outputs: int) -> None:
    """Give a model a new head, small and random."""
    head = Linear(model.config.hidden_size, outputs, bias=False, device=model.device, dtype=torch.float32)
    nn.init.normal_(head.weight, std=0.02)
    model.add_module(HEAD, head)


def scores(model: Transformer, batch: TensorBatch, pooling: Pooling = "last") -> tuple[Tensor, Tensor]:
    """The head's outputs for each text that has a target, (N, L) in float32, and those targets, (N,), in the rows' order.

    A text's target stands at its last token.
    """
    x_BTC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
    ends = batch.targets != IGNORE_INDEX
    pooled = x_BTC[ends] if pooling == "last" else _means(x_BTC, batch.document_ids)[ends]
    return model.get_submodule(HEAD)(pooled).float(), batch.targets[ends]


def _means(x_BTC: Tensor, document_ids: Tensor | None) -> Tensor:
    """At each position the mean over its document up to there, (B, T, C)."""
    B, T, _ = x_BTC.shape
    sums = x_BTC.float().cumsum(dim=1)
    places = torch.arange(T, device=x_BTC.device).expand(B, T)
    first = places.new_zeros(B, T)
    if document_ids is not None:
        begins = torch.ones_like(document_ids, dtype=torch.bool)
        begins[:, 1:] = document_ids[:, 1:] != document_ids[:, :-1]
        first = torch.where(begins, places, 0).cummax(dim=1).values
    before = F.pad(sums, (0, 0, 1, 0)).gather(1, first[:, :, None].expand_as(sums))
    return ((sums - before) / (places - first + 1)[:, :, None]).to(x_BTC.dtype)


@dataclass(frozen=True)
class Classification(Objective):
    """Cross-entropy of a text's label; of several labels, the mean of each one's yes or no."""

    labels: int
    several: bool = False
    """A target is a set of labels, each a bit of it."""
    pooling: Pooling = "last"
    class_weights: tuple[float, ...] = ()
    """Of the labels' losses; empty: all count the same."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        logits_NL, targets_N = scores(model, batch, self.pooling)
        weights = logits_NL.new_tensor(self.class_weights) if self.class_weights else None
        if not self.several:
            return F.cross_entropy(logits_NL, targets_N, weight=weights, reduction="none").sum()
        losses = F.binary_cross_entropy_with_logits(
            logits_NL, bits(targets_N, self.labels), pos_weight=weights, reduction="none"
        )
        return losses.mean(dim=1).sum()

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self.loss(model, batch)


def bits(targets_N: Tensor, labels: int) -> Tensor:
    """Which labels are in each set, (N, L) of 0 and 1."""
    return (targets_N[:, None] >> torch.arange(labels, device=targets_N.device) & 1).float()


@dataclass(frozen=True)
class Report:
    """How well labels were found on texts that were not trained on."""

    labels: tuple[str, ...]
    accuracy: float
    """Share of texts whose label is right, or whose whole set of labels is."""
    macro_f1: float
    f1: tuple[float, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Row: what a text is; column: what was found. Of several labels: for each (not it, wrongly), (missed, found)."""
    texts: int


def assess(found_NL: Tensor, targets_N: Tensor, labels: Sequence[str], *, several: bool) -> Report:
    """Compare the head's outputs with the targets."""
    L = len(labels)
    if several:
        said, true = found_NL > 0, bits(targets_N, L).bool()
        right = (said == true).all(dim=1).double().mean()
        tp, fp, fn = ((a & b).sum(dim=0).double() for a, b in ((said, true), (said, ~true), (~said, true)))
        pairs = torch.stack([(~said & ~true).sum(0), (said & ~true).sum(0), fn.long(), tp.long()], dim=1)
        confusion = [[int(n) for n in row] for row in pairs]
    else:
        said_N = found_NL.argmax(dim=1)
        right = (said_N == targets_N).double().mean()
        matrix = torch.zeros(L, L, dtype=torch.int64)
        matrix.index_put_((targets_N.cpu(), said_N.cpu()), torch.ones(len(said_N), dtype=torch.int64), accumulate=True)
        tp = matrix.diagonal().double()
        fp, fn = matrix.sum(dim=0) - tp, matrix.sum(dim=1) - tp
        confusion = matrix.tolist()
    f1 = (2 * tp / (2 * tp + fp + fn).clamp(min=1)).tolist()
    return Report(
        tuple(labels), float(right), sum(f1) / L, tuple(f1), tuple(tuple(row) for row in confusion), len(targets_N)
    )
