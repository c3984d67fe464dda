"""Learning beside another model's opinion: a teacher's (distillation), or that of the model as it was before.

Shapes: N targets, C width, V vocabulary.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.finetuning.lora import adapted_layers
from lmcraft.model.transformer import Transformer
from lmcraft.training.objective import NextToken, Objective, TensorBatch

TOGETHER = 256  # targets whose logits are there at once
Guide = Callable[[TensorBatch], tuple[Tensor, Tensor]]
"""The hidden states (B, T, C) and output projection (V, C) that stand for another model's opinion of a batch."""


@dataclass(frozen=True)
class Guided(Objective):
    """a * cross-entropy + b * t^2 * KL(guide || model), both softened by a temperature t in the second term.

    Distillation (arXiv 1503.02531, section 2) has a = 1 - b; a penalty on moving away from the starting model has a = 1.
    """

    guide: Guide
    cross_entropy: float
    divergence: float
    temperature: float = 1.0

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        learned = batch.targets != IGNORE_INDEX
        with torch.no_grad():
            theirs_BTC, their_weight = self.guide(batch)
        x_NC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)[learned]
        total = x_NC.new_zeros((), dtype=torch.float32)
        parts = (torch.split(tensor, TOGETHER) for tensor in (x_NC, theirs_BTC[learned], batch.targets[learned]))
        for x, theirs, targets in zip(*parts, strict=True):
            total = total + checkpoint(
                self._part, x, model.output_weight, theirs, their_weight, targets, use_reentrant=False
            )
        return total

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The plain cross-entropy."""
        return NextToken().measure(model, batch)

    def _part(self, x_NC: Tensor, weight_VC: Tensor, theirs_NC: Tensor, their_weight: Tensor, targets_N: Tensor) -> Tensor:
        logits, theirs = (F.linear(x, w.to(x.dtype)).float() for x, w in ((x_NC, weight_VC), (theirs_NC, their_weight)))
        V, t = min(logits.shape[1], theirs.shape[1]), self.temperature  # a vocabulary may be padded
        softened, theirs = (z[:, :V].div(t).log_softmax(dim=1) for z in (logits, theirs))
        divergence = t * t * F.kl_div(softened, theirs, reduction="sum", log_target=True)
        return self.cross_entropy * F.cross_entropy(logits, targets_N, reduction="sum") + self.divergence * divergence


@dataclass(frozen=True)
class NearStart(Objective):
    """Another objective, and l2_sp / 2 * ||w - w0||^2 over the weights that are trained (L2-SP, arXiv 1802.01483, eq. 1)."""

    objective: Objective
    l2_sp: float
    start: Mapping[str, Tensor]
    """w0 by name."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad and name in self.start)
        apart = torch.stack([(p - self.start[name]).square().sum() for name, p in trained]).sum()
        # The loop divides by the targets of the whole step.
        return self.objective.loss(model, batch) + self.l2_sp / 2 * apart * self._terms(batch)

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self.objective.measure(model, batch)

    def count(self, batch: Batch) -> int:
        return self.objective.count(batch)

    def _terms(self, batch: TensorBatch) -> int:
        arrays = (batch.input_ids, batch.targets, batch.input_ids if batch.document_ids is None else batch.document_ids)
        return self.objective.count(Batch(*(array.cpu().numpy() for array in arrays)))


def guide_of(model: Transformer) -> Guide:
    """Another model's opinion."""
    return lambda batch: (model.hidden_states(batch.input_ids, document_ids=batch.document_ids), model.output_weight)


def guide_without_adapters(model: Transformer) -> Guide:
    """What a model with adapters would say without them."""

    def guide(batch: TensorBatch) -> tuple[Tensor, Tensor]:
        adapters = adapted_layers(model)
        training = model.training
        for adapted in adapters:
            adapted.enabled = False
        model.eval()
        try:
            return model.hidden_states(batch.input_ids, document_ids=batch.document_ids), model.output_weight
        finally:
            model.train(training)
            for adapted in adapters:
                adapted.enabled = True

    return guide
