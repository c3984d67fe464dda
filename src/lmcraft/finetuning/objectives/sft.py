"""Supervised fine-tuning (SFT): cross-entropy of answers, with an optional KL penalty against the starting model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.objectives.base import FinetuneObjective, LossInputs, setting
from lmcraft.lineage.record import dataset_origin

if TYPE_CHECKING:
    from lmcraft.data.loader import Dataset
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.lineage.document import Origin
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class AnswerObjective(FinetuneObjective):
    """Base of the objectives that learn the tokens of answers, perhaps with general text mixed in."""

    example_type = Conversation

    general: Path | None = setting(
        None, "Dataset folder of general text; some of it is mixed in with the examples, to reduce forgetting."
    )
    general_share: float = setting(
        0.1, "Share of the rows that are general text, if --general is given.", at_least=0, below=1
    )

    def encode_example(self, example: Conversation, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return encoder.answers(example)

    def general_text(self) -> tuple[Path, float] | None:
        return None if self.general is None else (self.general, self.general_share)

    def hash_contents(self) -> dict[str, str]:
        from lmcraft.data.loader import hash_dataset

        return super().hash_contents() | {"general": "" if self.general is None else hash_dataset(self.general, "train")}

    def data_origins(self) -> list[Origin]:
        return [] if self.general is None else [dataset_origin("general text", self.general)]

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        return next_token_metrics(model, rows)


@dataclass(frozen=True, kw_only=True)
class SupervisedFinetuning(AnswerObjective):
    """Cross-entropy of every token of the answers, to the end-of-turn token."""

    summary = "answer as the examples do"
    sums_over_rows = True

    kl: float = setting(
        0.0, "Weight of the KL divergence from the starting model, to reduce forgetting; 0 turns it off.", at_least=0
    )

    def build_loss(self, inputs: LossInputs) -> Objective:
        return build_next_token_loss(inputs, self.kl)


def build_next_token_loss(inputs: LossInputs, kl: float) -> Objective:
    """Cross-entropy, plus kl * KL(starting model || model)."""
    from lmcraft.finetuning.objectives.divergence import CrossEntropyAndDivergence
    from lmcraft.training.objective import NextToken

    return CrossEntropyAndDivergence(inputs.load_reference(), 1.0, kl) if kl else NextToken()


def next_token_metrics(model: Transformer, rows: Dataset) -> dict[str, Metric]:
    """The plain cross-entropy of held-out rows."""
    from lmcraft.finetuning.metrics import mean_loss
    from lmcraft.training.objective import NextToken

    return {"validation loss": mean_loss(model, NextToken(), rows)}
