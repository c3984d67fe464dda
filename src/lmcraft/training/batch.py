"""A batch as tensors on the model's device. Opening a model imports this module and no other of the package.

Shapes: B batch, T tokens, K values per row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.data.loader import Batch


@dataclass(frozen=True)
class TensorBatch:
    """A batch on the model's device, each (B, T) int64."""

    input_ids: Tensor
    targets: Tensor
    """The token to predict at each position; -100: none."""
    document_ids: Tensor | None
    """The document of each token within its row; None: each row is one document."""
    values: Tensor | None = None
    """(B, K) float32, further inputs of the objective per row."""


def to_device(batch: Batch, device: torch.device) -> TensorBatch:
    """The loader's arrays as tensors, without document ids if each row is a single document."""
    one_document = bool((batch.document_ids == batch.document_ids[:, :1]).all())
    return TensorBatch(
        torch.from_numpy(batch.input_ids).to(device),
        torch.from_numpy(batch.targets).to(device),
        None if one_document else torch.from_numpy(batch.document_ids).to(device),
        None if batch.values is None else torch.from_numpy(batch.values).to(device),
    )
