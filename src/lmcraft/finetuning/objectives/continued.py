"""Continued pretraining: cross-entropy of every token of a dataset folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.objectives.base import FinetuneObjective, LossInputs, setting
from lmcraft.finetuning.objectives.sft import build_next_token_loss, next_token_metrics

if TYPE_CHECKING:
    from lmcraft.data.loader import Dataset
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class ContinuedPretraining(FinetuneObjective):
    """Next-token prediction on plain text, starting from the model's weights."""

    summary = "predict the next token of more text (continued pretraining)"
    example_type = None
    sums_over_rows = True
    uses_chat_template = False

    kl: float = setting(
        0.0, "Weight of the KL divergence from the starting model, to reduce forgetting; 0 turns it off.", at_least=0
    )

    fim_rate: float = setting(
        0.0,
        "Share of documents trained on as fill-in-the-middle, such as 0.5 (arXiv 2207.14255); 0 turns it off.",
        at_least=0,
        at_most=1,
    )
    fim_spm_rate: float = setting(
        0.5,
        "Share of those whose suffix comes first: suffix, prefix, middle; the others are prefix, suffix, middle.",
        at_least=0,
        at_most=1,
    )

    def build_loss(self, inputs: LossInputs) -> Objective:
        return build_next_token_loss(inputs, self.kl)

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        return next_token_metrics(model, rows)
