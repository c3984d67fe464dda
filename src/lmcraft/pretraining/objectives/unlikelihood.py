"""Unlikelihood training on marked text: the tokens of bad passages become less likely (arXiv 1908.04319, 2302.08582)."""

from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.data.marks import MarkReading, Marks
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.objectives.base import PretrainObjective
from lmcraft.training.batch import TensorBatch
from lmcraft.training.objective import NextToken
from lmcraft.training.unlikelihood import unlikelihood


class Unlikelihood(PretrainObjective):
    """Learns the next token of passages that are not bad, and not to write the tokens of bad ones."""

    def training(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, flags_bad=True)

    def build_loss(self) -> NextToken:
        usual = super().build_loss()
        settings = {f.name: getattr(usual, f.name) for f in fields(usual)}
        return UnlikelihoodLoss(**settings, weight=self.config.unlikelihood_weight)


@dataclass(frozen=True)
class UnlikelihoodLoss(NextToken):
    """-log p of good targets, and -weight * log(1 - p) of bad ones, whose values in the batch are 1."""

    weight: float = 1.0

    sums_over_rows: ClassVar[bool] = False  # it projects twice

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        if batch.values is None:  # rows without marks
            return super().loss(model, batch)
        x_BTC = self.hidden_states(model, batch)
        bad_BT = batch.values > 0
        good = self.cross_entropy(x_BTC, model.output_head, batch.targets.masked_fill(bad_BT, IGNORE_INDEX))
        tensors = self.share(x_BTC, model.output_head, batch.targets.masked_fill(~bad_BT, IGNORE_INDEX))
        return good + self.weight * unlikelihood(*tensors)
