"""Odds ratio preference optimization (ORPO, arXiv 2403.07691): SFT and preferences in one loss, without a reference model.

Shapes: B pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.objectives.base import setting
from lmcraft.finetuning.objectives.preferences import PairwiseObjective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ORPO(PairwiseObjective):
    """-log P(chosen) - beta log sigmoid(log(odds(chosen) / odds(rejected))) (eq. 6 and 7).

    log P is the mean log-probability of an answer's tokens (eq. 3), and odds = P / (1 - P) (eq. 4).
    """

    summary = "give the better of two answers, and prefer it to the other"
    paper = "2403.07691"

    beta: float = setting(0.1, "Weight of the odds ratio loss (the paper's lambda).", above=0)

    @property
    def per_token(self) -> bool:
        return True

    def pair_losses(self, policy_B2: Tensor, reference_B2: Tensor, counts_B2: Tensor) -> Tensor:
        import torch
        import torch.nn.functional as F

        log_probs_B2 = policy_B2 / counts_B2.clamp(min=1)
        # log(1 - P) is -inf at P = 1: probabilities are kept below it by the smallest step of float32.
        log_probs_B2 = log_probs_B2.clamp(max=-torch.finfo(torch.float32).eps)
        log_odds_B2 = log_probs_B2 - torch.log(-torch.expm1(log_probs_B2))
        return -log_probs_B2[:, 0] - self.beta * F.logsigmoid(log_odds_B2[:, 0] - log_odds_B2[:, 1])
