"""Direct preference optimization (DPO, arXiv 2305.18290) and its variant IPO (arXiv 2310.12036).

Shapes: B pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.objectives.base import setting
from lmcraft.finetuning.objectives.preferences import PairwiseObjective

if TYPE_CHECKING:
    from torch import Tensor

BETA_HELP = "Strength of the pull towards the starting model."


@dataclass(frozen=True, kw_only=True)
class DPO(PairwiseObjective):
    """-log sigmoid(beta h), h = (log p/p0)(chosen) - (log p/p0)(rejected) (eq. 7)."""

    summary = "prefer the better of two answers"
    paper = "2305.18290"
    needs_reference = True

    beta: float = setting(0.1, BETA_HELP, above=0)
    length_normalized: bool = setting(
        False, "Compare log-probabilities per token instead of per answer, so that long answers are not favored."
    )

    @property
    def per_token(self) -> bool:
        return self.length_normalized

    def pair_losses(self, policy_B2: Tensor, reference_B2: Tensor, counts_B2: Tensor) -> Tensor:
        import torch.nn.functional as F

        ratios = policy_B2 - reference_B2
        if self.length_normalized:
            ratios = ratios / counts_B2.clamp(min=1)
        return -F.logsigmoid(self.beta * (ratios[:, 0] - ratios[:, 1]))


@dataclass(frozen=True, kw_only=True)
class IPO(PairwiseObjective):
    """(h - 1 / (2 beta))^2 (eq. 17), with log-probabilities per token, as in the authors' code."""

    summary = "prefer the better of two answers, by a fixed margin"
    paper = "2310.12036"
    needs_reference = True

    beta: float = setting(0.1, BETA_HELP, above=0)

    @property
    def per_token(self) -> bool:
        return True

    def pair_losses(self, policy_B2: Tensor, reference_B2: Tensor, counts_B2: Tensor) -> Tensor:
        ratios = (policy_B2 - reference_B2) / counts_B2.clamp(min=1)
        h = ratios[:, 0] - ratios[:, 1]
        return (h - 1 / (2 * self.beta)).square()
