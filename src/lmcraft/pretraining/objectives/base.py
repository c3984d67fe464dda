"""The objective that all runs have by default, and the class that the others extend."""

from dataclasses import dataclass
from typing import ClassVar

from lmcraft.data.marks import MarkReading, Marks
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.training.objective import NextToken


@dataclass(frozen=True)
class PretrainObjective:
    """Learns the next token of all text, as if it had no marks.

    Every objective is validated on the same targets: the tokens of passages that are not bad.
    """

    config: PretrainConfig

    begins_good: ClassVar[bool] = False
    """The trained model reads the mark of a good passage before each text."""

    def training(self, marks: Marks) -> MarkReading:
        """How training reads marked rows."""
        return MarkReading(marks)

    def validation(self, marks: Marks) -> MarkReading:
        """How validation reads them."""
        return MarkReading(marks, learns_bad=False)

    def build_loss(self) -> NextToken:
        """The loss of the rows that `training` gives; it measures those of `validation`."""
        config = self.config
        return NextToken(config.label_smoothing, config.z_loss, config.document_mask)
