"""L2-SP: a penalty on the distance of the weights from where they started (arXiv 1802.01483)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lmcraft.data.loader import Batch
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import Objective, Total


@dataclass(frozen=True)
class L2StartingPoint(Objective):
    """Another objective plus l2_sp / 2 * ||w - w0||^2 over the trained weights (arXiv 1802.01483, eq. 1)."""

    objective: Objective
    l2_sp: float
    start: Mapping[str, Tensor]
    """w0 by parameter name."""

    def for_batches(self, model: Transformer, batches: Iterable[TensorBatch], total: Total) -> Objective:
        return replace(self, objective=self.objective.for_batches(model, batches, total))

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        trained = ((name, p) for name, p in model.named_parameters() if p.requires_grad and name in self.start)
        distance = torch.stack([(p - self.start[name]).square().sum() for name, p in trained]).sum()
        # The training loop divides by the number of terms of the whole step.
        return self.objective.loss(model, batch) + self.l2_sp / 2 * distance * self._num_terms(batch)

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self.objective.measure(model, batch)

    def count(self, batch: Batch) -> int:
        return self.objective.count(batch)

    def _num_terms(self, batch: TensorBatch) -> int:
        arrays = (batch.input_ids, batch.targets, batch.input_ids if batch.document_ids is None else batch.document_ids)
        return self.objective.count(Batch(*(array.cpu().numpy() for array in arrays)))
