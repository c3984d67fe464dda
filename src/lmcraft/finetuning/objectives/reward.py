"""A reward model (arXiv 2203.02155, eq. 1): a score for an answer, trained on pairs of answers.

Shapes: B pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Preference
from lmcraft.finetuning.objectives.base import FinetuneObjective, count_rows

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.data.loader import Batch, Dataset
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class RewardModel(FinetuneObjective):
    """-log sigmoid(r(chosen) - r(rejected)), the mean over pairs; r is the head's output at an answer's last token."""

    summary = "score an answer, higher for the better of two (a reward model)"
    paper = "2203.02155"
    example_type = Preference
    needs_head = True

    def encode_example(self, example: Preference, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return encoder.pair_ends(*example.conversations())

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        import torch.nn.functional as F

        from lmcraft.finetuning.head import reward_margins

        return -F.logsigmoid(reward_margins(model, batch)).sum()

    def count(self, batch: Batch) -> int:
        return count_rows(batch)

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        import torch

        from lmcraft.finetuning.head import reward_margins
        from lmcraft.finetuning.metrics import iterate_rows
        from lmcraft.statistics.proportions import proportion

        model.eval()
        with torch.no_grad():
            margins = torch.cat([reward_margins(model, tensors) for _, tensors in iterate_rows(model, rows)])
        return {"reward accuracy": proportion(int((margins > 0).sum()), len(margins))}
