"""Classification of texts: one label per text, or any number of labels.

Shapes: N texts of a batch, L labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Example, Labeled
from lmcraft.finetuning.objectives.base import BatchLoss, FinetuneObjective, LossInputs, setting

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.data.loader import Dataset
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective

MAX_LABELS_IN_SETS = 62  # a set of labels is stored as the bits of a 64-bit target


@dataclass(frozen=True, kw_only=True)
class Classification(FinetuneObjective):
    """Cross-entropy of the label; if texts have several labels, the mean binary cross-entropy over all labels."""

    summary = "label texts (a classifier)"
    sums_over_rows = True
    example_type = Labeled
    uses_chat_template = False
    needs_head = True
    min_row_tokens = 256

    pooling: Literal["last", "mean", "first"] = setting(
        "last",
        "Input of the head: the hidden state of the last token or, for encoders, the first; or the mean over all tokens.",
    )
    class_weights: Literal["none", "balanced"] = setting(
        "none", "Weights of the labels in the loss; balanced: rare labels count as much as frequent ones."
    )

    def find_labels(self, examples: Sequence[Example]) -> Labels:
        from lmcraft.finetuning.head import Labels

        sets = [example.labels for example in examples if isinstance(example, Labeled)]
        names, multi_label = tuple(sorted({name for labels in sets for name in labels})), any(len(s) != 1 for s in sets)
        if len(names) < 2 and not multi_label:
            raise UserError(f"the data have {len(names)} label ({', '.join(names)}): at least two are needed")
        if multi_label and len(names) > MAX_LABELS_IN_SETS:
            raise UserError(f"the data have sets of {len(names)} labels: at most {MAX_LABELS_IN_SETS} are supported")
        return Labels(names, multi_label, self.pooling)

    def encode_example(self, example: Labeled, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        unknown = [name for name in example.labels if name not in labels.names]
        if unknown:
            raise UserError(f"its label {unknown[0]!r} does not occur in the training data: add examples, or remove the row")
        numbers = [labels.names.index(name) for name in example.labels]
        target = sum(1 << number for number in numbers) if labels.multi_label else numbers[0]
        return encoder.text_with_target(example.text, target)

    def build_loss(self, inputs: LossInputs) -> Objective:
        weights = balanced_weights(inputs.examples, inputs.labels) if self.class_weights == "balanced" else ()
        return ClassificationLoss(inputs.labels, weights)

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        from lmcraft.finetuning.label_report import evaluate_labels
        from lmcraft.statistics.proportions import proportion

        report = evaluate_labels(model, rows, labels)
        return {"accuracy": proportion(round(report.accuracy * report.texts), report.texts)}

    def label_report(self, model: Transformer, rows: Dataset, labels: Labels) -> dict[str, Any] | None:
        from lmcraft.finetuning.label_report import evaluate_labels

        return asdict(evaluate_labels(model, rows, labels))


@dataclass(frozen=True)
class ClassificationLoss(BatchLoss):
    """The loss for a given set of labels."""

    sums_over_rows = True

    labels: Labels
    class_weights: tuple[float, ...] = ()
    """Weight of each label's loss; empty: all are equal."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        import torch.nn.functional as F

        from lmcraft.finetuning.head import head_outputs, multi_hot

        logits_NL, targets_N = head_outputs(model, batch, self.labels.pooling)
        weights = logits_NL.new_tensor(self.class_weights) if self.class_weights else None
        if not self.labels.multi_label:
            return F.cross_entropy(logits_NL, targets_N, weight=weights, reduction="none").sum()
        losses_NL = F.binary_cross_entropy_with_logits(
            logits_NL, multi_hot(targets_N, len(self.labels.names)), pos_weight=weights, reduction="none"
        )
        return losses_NL.mean(dim=1).sum()


def balanced_weights(examples: Sequence[Example], labels: Labels) -> tuple[float, ...]:
    """A weight for each label, so that rare labels count as much as frequent ones."""
    counts = Counter(name for example in examples if isinstance(example, Labeled) for name in example.labels)
    n = len(examples)
    if labels.multi_label:  # texts without the label per text with it
        return tuple((n - counts[name]) / max(1, counts[name]) for name in labels.names)
    return tuple(n / (len(labels.names) * max(1, counts[name])) for name in labels.names)
