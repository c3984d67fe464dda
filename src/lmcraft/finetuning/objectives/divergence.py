"""Cross-entropy plus the KL divergence from another model: a teacher (distillation), or the starting model.

Shapes: N targets, C width, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.objectives.log_probs import TARGETS_PER_CHUNK
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken, Objective

FrozenModel = Callable[[TensorBatch], tuple[Tensor, OutputHead]]
"""Computes the hidden states (B, T, C) for a batch, and returns them with the output head."""


@dataclass(frozen=True)
class CrossEntropyAndDivergence(Objective):
    """a * cross-entropy + b * t^2 * KL(other || model), where a temperature t softens both models in the second term.

    Distillation (arXiv 1503.02531, section 2) has a = 1 - b; a KL penalty against the starting model has a = 1, t = 1.
    """

    other: FrozenModel
    cross_entropy: float
    divergence: float
    temperature: float = 1.0

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        has_target = batch.targets != IGNORE_INDEX
        with torch.no_grad():
            other_BTC, other_head = self.other(batch)
        x_NC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)[has_target]
        return self.sum_over(x_NC, model.output_head, other_BTC[has_target], other_head, batch.targets[has_target])

    def sum_over(
        self, x_NC: Tensor, head: OutputHead, other_NC: Tensor, other_head: OutputHead, targets_N: Tensor
    ) -> Tensor:
        """The loss summed over targets, a scalar, from the hidden states and output heads of both models."""
        total = x_NC.new_zeros((), dtype=torch.float32)
        chunks = (torch.split(tensor, TARGETS_PER_CHUNK) for tensor in (x_NC, other_NC, targets_N))
        for x, other, targets in zip(*chunks, strict=True):
            total = total + checkpoint(self._chunk_loss, x, head, other, other_head, targets, use_reentrant=False)
        return total

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The plain cross-entropy."""
        return NextToken().measure(model, batch)

    def _chunk_loss(
        self, x_NC: Tensor, head: OutputHead, other_NC: Tensor, other_head: OutputHead, targets_N: Tensor
    ) -> Tensor:
        logits, other = head.wide_logits(x_NC), other_head.wide_logits(other_NC)
        V, t = min(logits.shape[1], other.shape[1]), self.temperature  # a vocabulary may be padded
        softened, other = (z[:, :V].div(t).log_softmax(dim=1) for z in (logits, other))
        divergence = t * t * F.kl_div(softened, other, reduction="sum", log_target=True)
        return self.cross_entropy * F.cross_entropy(logits, targets_N, reduction="sum") + self.divergence * divergence
