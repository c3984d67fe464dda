"""KTO (arXiv 2402.01306): single answers, each judged desirable or undesirable.

A row holds an example, and its prompt with the answer of the next example. From these mismatched answers the loss estimates
the divergence from the starting model. The estimate is a mean over the micro-batch, as in TRL. Unlike with the other
objectives, the loss of a step therefore depends on `micro_batch_size`.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Conversation, Example, Judgment
from lmcraft.finetuning.objectives.base import FinetuneObjective, count_rows, setting, with_example_number

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.data.loader import Batch
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.training.batch import TensorBatch


@dataclass(frozen=True, kw_only=True)
class KTO(FinetuneObjective):
    """weight * (1 - sigmoid(beta * gain)); the gain is log p/p0 minus the divergence, or its negative if undesirable."""

    summary = "prefer answers judged good over answers judged bad"
    paper = "2402.01306"
    example_type = Judgment
    needs_reference = True
    encodes_together = True

    beta: float = setting(0.1, "Strength of the pull towards the starting model.", above=0)
    undesirable_weight: float = setting(1.0, "Weight of undesirable answers; desirable ones have weight 1.", above=0)

    def encode(
        self, examples: Sequence[Example], encoder: ExampleEncoder, labels: Labels, first_index: int = 0
    ) -> list[TokenizedExample]:
        judgments = [example for example in examples if isinstance(example, Judgment)]
        following = [*judgments[1:], *judgments[:1]]
        return [
            with_example_number(index, _encode_judgment, encoder, judgment, other)
            for index, (judgment, other) in enumerate(zip(judgments, following, strict=True))
        ]

    def encode_example(self, example: Judgment, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return _encode_judgment(encoder, example, example)

    def losses(self, policy_B2: Tensor, reference_B2: Tensor, desirable_B: Tensor) -> Tensor:
        """The loss of each judged answer, (B,) (eq. 8)."""
        import torch

        ratios = policy_B2 - reference_B2
        divergence = ratios[:, 1].detach().mean().clamp(min=0)
        desirable = desirable_B > 0
        gain = torch.where(desirable, ratios[:, 0] - divergence, divergence - ratios[:, 0])
        weight = torch.where(desirable, 1.0, self.undesirable_weight)
        return weight * (1 - torch.sigmoid(self.beta * gain))

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        from lmcraft.finetuning.objectives.log_probs import document_log_probs

        assert batch.values is not None
        policy_B2, counts_B2 = document_log_probs(model, batch)
        present = (counts_B2[:, 0] > 0).float()
        return (self.losses(policy_B2, batch.values[:, :2], batch.values[:, 2]) * present).sum()

    def count(self, batch: Batch) -> int:
        return count_rows(batch)


def _encode_judgment(encoder: ExampleEncoder, judgment: Judgment, other: Judgment) -> TokenizedExample:
    mismatched = (*judgment.messages[:-1], other.messages[-1])
    return encoder.pair(
        Conversation(judgment.messages, judgment.tools),
        Conversation(mismatched, judgment.tools),
        judgment.desirable,
        may_be_equal=True,
    )
