"""KTO (arXiv 2402.01306): single answers, each judged desirable or undesirable.

A row holds an example, and its prompt with the answer of the next example. From these mismatched answers the loss estimates
the divergence from the starting model: their mean over all rows of the step, computed before the losses, so that it does not
depend on micro-batches and processes.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Conversation, Example, Judgment
from lmcraft.finetuning.objectives.base import (
    BatchLoss,
    DocumentPart,
    FinetuneObjective,
    LossInputs,
    count_rows,
    setting,
    with_example_number,
)

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.data.loader import Batch
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective, Total


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

    def describe_document(self, number: int, values: Sequence[float]) -> DocumentPart:
        if number == 0:
            return DocumentPart("desirable" if values[-1] else "undesirable")
        return DocumentPart("another row's answer, which only estimates the divergence", is_learned=False)

    def encode_example(self, example: Judgment, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return _encode_judgment(encoder, example, example)

    def build_loss(self, inputs: LossInputs) -> Objective:
        return KTOLoss(self.beta, self.undesirable_weight)


@dataclass(frozen=True)
class KTOLoss(BatchLoss):
    """The loss of judged answers (eq. 8); each row is a term."""

    beta: float
    undesirable_weight: float
    divergence: float = 0.0
    """The estimate for all rows of the step."""

    def for_batches(self, model: Transformer, batches: Iterable[TensorBatch], total: Total) -> KTOLoss:
        import torch

        from lmcraft.finetuning.objectives.log_probs import document_log_probs

        model.eval()
        gain = rows = 0.0
        with torch.no_grad():
            for batch in batches:
                assert batch.values is not None
                policy_B2, counts_B2 = document_log_probs(model, batch)
                present = counts_B2[:, 0] > 0
                gain += float((policy_B2 - batch.values[:, :2])[present, 1].sum())
                rows += float(present.sum())
        gain, rows = total(gain, rows)
        return replace(self, divergence=max(0.0, gain / max(1.0, rows)))

    def losses(self, ratios_B: Tensor, desirable_B: Tensor) -> Tensor:
        """The loss of each judged answer, (B,), from its log-probability ratio to the starting model."""
        import torch

        desirable = desirable_B > 0
        gain = torch.where(desirable, ratios_B - self.divergence, self.divergence - ratios_B)
        weight = torch.where(desirable, 1.0, self.undesirable_weight)
        return weight * (1 - torch.sigmoid(self.beta * gain))

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        from lmcraft.finetuning.objectives.log_probs import document_log_probs

        assert batch.values is not None
        policy_B2, counts_B2 = document_log_probs(model, _judged_answers(batch))
        present = (counts_B2[:, 0] > 0).float()
        return (self.losses(policy_B2[:, 0] - batch.values[:, 0], batch.values[:, 2]) * present).sum()

    def count(self, batch: Batch) -> int:
        return count_rows(batch)


def _judged_answers(batch: TensorBatch) -> TensorBatch:
    """The batch without the mismatched answers, which come second in each row and have no gradient."""
    import torch

    from lmcraft.data.loader import IGNORE_INDEX

    assert batch.document_ids is not None
    first = batch.document_ids == 0
    length = int(first.any(dim=0).sum())
    targets = torch.where(first, batch.targets, IGNORE_INDEX)
    return replace(
        batch,
        input_ids=batch.input_ids[:, :length],
        targets=targets[:, :length],
        document_ids=batch.document_ids[:, :length],
    )


def _encode_judgment(encoder: ExampleEncoder, judgment: Judgment, other: Judgment) -> TokenizedExample:
    mismatched = (*judgment.messages[:-1], other.messages[-1])
    return encoder.pair(
        Conversation(judgment.messages, judgment.tools),
        Conversation(mismatched, judgment.tools),
        judgment.desirable,
        may_be_equal=True,
    )
