"""What is minimised. The loop knows an objective only as a sum of losses over targets and how many targets there are.

Shapes: B batch, T tokens, V vocabulary.
"""

from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from lmcraft.data.loader import IGNORE
from lmcraft.model.transformer import Transformer


@dataclass(frozen=True)
class TensorBatch:
    """A batch on the model's device, each (B, T) int64."""

    input_ids: Tensor
    targets: Tensor
    """The token to predict at each position; -100: none."""
    document_ids: Tensor | None
    """Which document of its row a token belongs to; None: every row is one."""


class Objective(Protocol):
    """A sum over the targets of a batch, so that any split of a batch adds up to the same step."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum that is minimised, a scalar."""

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum that is reported on validation data, a scalar."""


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of the next token, in nats.

    With label smoothing e the target is 1 - e on the token and e spread evenly over the vocabulary (arXiv 1512.00567,
    section 7); z-loss adds z * log(Z)^2, Z the softmax's denominator (arXiv 2204.02311, section 5). Validation measures
    the plain cross-entropy.
    """

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    document_mask: bool = True
    """Attention stays within a document where several share a row."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        logits = self._logits(model, batch)
        targets = batch.targets.flatten()
        loss = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="sum", label_smoothing=self.label_smoothing)
        if self.z_loss:
            log_z = logits.logsumexp(dim=-1)[targets != IGNORE]
            loss = loss + self.z_loss * log_z.square().sum()
        return loss

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        logits = self._logits(model, batch)
        return F.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORE, reduction="sum")

    def _logits(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """(B * T, V), float32: a softmax over a vocabulary needs the digits."""
        document_ids = batch.document_ids if self.document_mask else None
        logits: Tensor = model(batch.input_ids, document_ids=document_ids)
        return logits.flatten(0, 1).float()
