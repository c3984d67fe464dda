"""Filtered loss: bad passages are read and not learned, so that good text keeps its context."""

from lmcraft.data.marks import MarkReading, Marks
from lmcraft.pretraining.objectives.base import PretrainObjective


class Filtered(PretrainObjective):
    """Learns the next token of passages that are not bad; bad ones are only context."""

    def training(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, learns_bad=False)
