"""Objectives on pairs of answers: a row holds the prompt with the chosen answer, then the prompt with the rejected one.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Preference
from lmcraft.finetuning.objectives.base import DocumentPart, FinetuneObjective, count_rows

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
class PairwiseObjective(FinetuneObjective):
    """Base of the objectives whose loss is a function of the log-probabilities of both answers; each pair is one term."""

    example_type = Preference

    def describe_document(self, number: int, values: Sequence[float]) -> DocumentPart:
        return DocumentPart(("chosen", "rejected")[number]) if number < 2 else DocumentPart()

    @property
    def per_token(self) -> bool:
        """Whether answers are compared by their mean log-probability per token rather than by the sum."""
        return False

    def pair_losses(self, policy_B2: Tensor, reference_B2: Tensor, counts_B2: Tensor) -> Tensor:
        """The loss of each pair, (B,).

        Args:
            policy_B2: log-probabilities of the chosen and of the rejected answer.
            reference_B2: the same under the starting model; 0 unless `needs_reference`.
            counts_B2: numbers of tokens of both answers; 0 in rows that only pad the batch, whose losses are ignored.
        """
        raise NotImplementedError

    def encode_example(self, example: Preference, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return encoder.pair(*example.conversations())

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        from lmcraft.finetuning.objectives.log_probs import document_log_probs

        assert batch.values is not None
        policy_B2, counts_B2 = document_log_probs(model, batch)
        present = (counts_B2[:, 0] > 0).float()
        return (self.pair_losses(policy_B2, batch.values[:, :2], counts_B2) * present).sum()

    def count(self, batch: Batch) -> int:
        return count_rows(batch)

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        return {"preference accuracy": preference_accuracy(model, rows, per_token=self.per_token)}

    def final_metrics(self, model: Transformer, rows: Dataset) -> dict[str, Metric]:
        if not self.needs_reference:
            return {}
        accuracy = preference_accuracy(model, rows, per_token=self.per_token, against_reference=True)
        return {"implicit reward accuracy": accuracy}


def preference_accuracy(model: Transformer, rows: Dataset, *, per_token: bool, against_reference: bool = False) -> Metric:
    """The share of pairs whose chosen answer is more likely than the rejected one, by the sum or by the mean per token.

    With `against_reference` it is the share whose chosen answer has gained more log-probability over the starting model: the
    accuracy of DPO's implicit rewards (arXiv 2305.18290, section 4).
    """
    import torch

    from lmcraft.finetuning.metrics import iterate_rows
    from lmcraft.finetuning.objectives.log_probs import document_log_probs
    from lmcraft.statistics.proportions import proportion

    model.eval()
    correct = pairs = 0
    with torch.no_grad():
        for _, tensors in iterate_rows(model, rows):
            scores_B2, counts_B2 = document_log_probs(model, tensors)
            if against_reference:
                assert tensors.values is not None
                scores_B2 = scores_B2 - tensors.values[:, :2]
            if per_token:
                scores_B2 = scores_B2 / counts_B2.clamp(min=1)
            correct, pairs = correct + int((scores_B2[:, 0] > scores_B2[:, 1]).sum()), pairs + len(scores_B2)
    return proportion(correct, pairs)
