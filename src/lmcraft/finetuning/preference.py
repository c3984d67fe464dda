"""Learning which of two answers is better, without a reward model: DPO, IPO and KTO.

A row holds two documents: a prompt with each of its two answers. Its values are what the model said of them before it was
tuned, which is computed once (`reference_log_probs`).

Shapes: B rows, N targets of all rows.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.model.transformer import Transformer
from lmcraft.training.objective import Objective, TensorBatch

TOGETHER = 256  # targets whose logits are there at once
Loss = Literal["dpo", "ipo", "kto"]


def document_log_probs(model: Transformer, batch: TensorBatch) -> tuple[Tensor, Tensor]:
    """log p of the learned tokens of each row's two documents, and their number, each (B, 2) in float32."""
    assert batch.document_ids is not None
    x_BTC = model.hidden_states(batch.input_ids, document_ids=batch.document_ids)
    learned = batch.targets != IGNORE_INDEX
    row, _ = learned.nonzero(as_tuple=True)
    place = 2 * row + batch.document_ids[learned]
    log_probs = token_log_probs(x_BTC[learned], model.output_weight, batch.targets[learned])
    sums = log_probs.new_zeros(2 * len(batch.input_ids)).index_add(0, place, log_probs)
    counts = torch.zeros_like(sums).index_add(0, place, torch.ones_like(log_probs))
    return sums.view(-1, 2), counts.view(-1, 2)


def token_log_probs(x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    """log softmax(x W^T) of each target, (N,) in float32; the logits are computed some at a time, and again backward."""
    parts = [
        checkpoint(_log_probs, x, weight_VC, targets, use_reentrant=False)
        for x, targets in zip(torch.split(x_NC, TOGETHER), torch.split(targets_N, TOGETHER), strict=True)
    ]
    return torch.cat(parts) if parts else x_NC.new_zeros(0, dtype=torch.float32)


def _log_probs(x_NC: Tensor, weight_VC: Tensor, targets_N: Tensor) -> Tensor:
    logits = F.linear(x_NC, weight_VC.to(x_NC.dtype)).float()
    return -F.cross_entropy(logits, targets_N, reduction="none")


def preference_losses(
    policy_B2: Tensor, reference_B2: Tensor, counts_B2: Tensor, *, beta: float, loss: Loss = "dpo", normalized: bool = False
) -> Tensor:
    """The loss of each pair, (B,); the first of two is the better answer.

    dpo: -log sigmoid(beta h), h = (log p/p0)(better) - (log p/p0)(worse) (arXiv 2305.18290, eq. 7).
    ipo: (h - 1 / (2 beta))^2 (arXiv 2310.12036, eq. 17), each log-probability a mean over tokens, as its authors compute it.
    With `normalized`, dpo takes means over tokens too.
    """
    ratios = policy_B2 - reference_B2
    if normalized or loss == "ipo":
        ratios = ratios / counts_B2.clamp(min=1)
    h = ratios[:, 0] - ratios[:, 1]
    if loss == "ipo":
        return (h - 1 / (2 * beta)).square()
    return -F.logsigmoid(beta * h)


def judgment_losses(
    policy_B2: Tensor, reference_B2: Tensor, desirable_B: Tensor, *, beta: float, weights: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """The loss of each judged answer, (B,) (KTO, arXiv 2402.01306, eq. 8).

    The second of a row's two answers belongs to another prompt. From these the divergence from the starting model is
    estimated, over the rows that are given, as a constant for the gradient.

    Args:
        policy_B2: log p of both answers.
        reference_B2: the same of the starting model.
        desirable_B: 1 where the first answer is wanted, 0 where it is not.
        beta: how far the model may go from where it started: the larger, the less.
        weights: of wanted and of unwanted answers.
    """
    ratios = policy_B2 - reference_B2
    baseline = ratios[:, 1].detach().mean().clamp(min=0)
    wanted = desirable_B > 0
    gain = torch.where(wanted, ratios[:, 0] - baseline, baseline - ratios[:, 0])
    weight = torch.where(wanted, weights[0], weights[1])
    return weight * (1 - torch.sigmoid(beta * gain))


@dataclass(frozen=True)
class Preferences(Objective):
    """The mean of a loss over pairs (dpo, ipo) or judged answers (kto)."""

    name: Loss = "dpo"
    beta: float = 0.1
    normalized: bool = False
    weights: tuple[float, float] = (1.0, 1.0)
    """Of wanted and unwanted answers (kto)."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self._losses(model, batch).sum()

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        return self._losses(model, batch).sum()

    def count(self, batch: Batch) -> int:
        return int((batch.targets != IGNORE_INDEX).any(axis=1).sum())

    def _losses(self, model: Transformer, batch: TensorBatch) -> Tensor:
        assert batch.values is not None
        policy, counts = document_log_probs(model, batch)
        present = (counts[:, 0] > 0).float()  # a row without targets only fills a batch
        if self.name == "kto":
            losses = judgment_losses(policy, batch.values[:, :2], batch.values[:, 2], beta=self.beta, weights=self.weights)
        else:
            losses = preference_losses(
                policy, batch.values[:, :2], counts, beta=self.beta, loss=self.name, normalized=self.normalized
            )
        return losses * present
