"""A reward model: a number for an answer, larger for the better of two (arXiv 2203.02155, eq. 1).

Shapes: B rows, each a prompt with a better and a worse answer.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.finetuning.classify import scores
from lmcraft.model.transformer import Transformer
from lmcraft.training.objective import Objective, TensorBatch


@dataclass(frozen=True)
class Reward(Objective):
    """-log sigmoid(r(better) - r(worse)), the mean over pairs; r is the head's one output at an answer's last token."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return -F.logsigmoid(margins(model, batch)).sum()

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self.loss(model, batch)

    def count(self, batch: Batch) -> int:
        return int((batch.targets != IGNORE_INDEX).any(axis=1).sum())


def margins(model: Transformer, batch: TensorBatch) -> Tensor:
    """r(better) - r(worse) of each pair, (B,)."""
    found, _ = scores(model, batch)
    pairs = torch.reshape(found, (-1, 2))
    return pairs[:, 0] - pairs[:, 1]
