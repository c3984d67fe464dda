"""The `Objective` protocol, a sum of losses over targets and their number, and next-token prediction.

Shapes: B batch, T tokens, V vocabulary.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import TensorBatch
from lmcraft.training.cross_entropy import linear_cross_entropy
from lmcraft.training.sharding import share_tokens

Total = Callable[..., list[float]]
"""Adds up each of its arguments over all processes of a run."""


class Objective(Protocol):
    """A training objective: sums over the targets of a batch, so that micro-batches add up to the whole batch."""

    sums_over_rows: ClassVar[bool] = False
    """Whether `loss` is a sum of functions of one row each, of hidden states that the model computes once: what training
    with differential privacy needs."""

    def for_batches(self, model: Transformer, batches: Iterable[TensorBatch], total: Total) -> "Objective":
        """The objective of one step or evaluation; another one only where a row's loss depends on the other rows.

        Args:
            model: the model, which may be left in `eval` mode.
            batches: all batches of this process.
            total: adds up numbers over the processes.
        """
        return self

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum to minimize, a scalar."""

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The sum to report on validation data, a scalar."""

    def count(self, batch: Batch) -> int:
        """The number of terms in the sums: the targets, unless an objective counts something else."""
        return int((batch.targets != IGNORE_INDEX).sum())


@dataclass(frozen=True)
class NextToken(Objective):
    """Cross-entropy of the next token, in nats.

    Label smoothing and z-loss as in `linear_cross_entropy`; validation measures the plain cross-entropy.
    """

    label_smoothing: float = 0.0
    z_loss: float = 0.0
    document_mask: bool = True
    """Restrict attention to a token's own document."""
    tensor_mesh: DeviceMesh | None = None
    """The tensor-parallel processes; each computes its share of the sum."""
    projection: Callable[..., Tensor] = linear_cross_entropy
    """What projects and measures in `cross_entropy`, with the arguments of `linear_cross_entropy`."""

    sums_over_rows: ClassVar[bool] = True

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        x_BTC = self.hidden_states(model, batch)
        return self.cross_entropy(x_BTC, model.output_head, batch.targets)

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        tensors = self.share(self.hidden_states(model, batch), model.output_head, batch.targets)
        return linear_cross_entropy(*tensors)

    def hidden_states(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The model's last hidden states, (B, T, C)."""
        document_ids = batch.document_ids if self.document_mask else None
        return model.hidden_states(batch.input_ids, document_ids=document_ids)

    def cross_entropy(self, x_BTC: Tensor, head: OutputHead, targets_BT: Tensor) -> Tensor:
        """The cross-entropy of the targets to train on, summed, a scalar."""
        tensors = self.share(x_BTC, head, targets_BT)
        return self.projection(*tensors, label_smoothing=self.label_smoothing, z_loss=self.z_loss)

    def share(self, x_BTC: Tensor, head: OutputHead, targets_BT: Tensor) -> tuple[Tensor, OutputHead, Tensor]:
        """This process's share of the hidden states (N, C) and of the targets (N,), with the head."""
        x_NC, targets_N = x_BTC.flatten(0, 1), targets_BT.flatten()
        if self.tensor_mesh is None:
            return x_NC, head, targets_N
        return share_tokens(self.tensor_mesh, x_NC, head, targets_N)
