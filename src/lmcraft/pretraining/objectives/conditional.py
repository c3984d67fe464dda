"""Conditional training: passages follow marks that say whether they are bad (arXiv 2302.08582, section 2).

Unlike in the paper, a mark may be left out where it repeats the one before it. So a model that begins with the mark of a
good passage, and writes no marks, goes on with good ones. Marks are no targets: the model spends nothing on predicting them,
and the likelihood of a text without marks is that of the text.
"""

from lmcraft.data.marks import MarkReading, Marks
from lmcraft.pretraining.objectives.base import PretrainObjective


class Conditional(PretrainObjective):
    """Learns the next token, given whether its passage is bad; the model writes after the mark of a good passage."""

    begins_good = True

    def training(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, keeps=True, dropout=self.config.mark_dropout)

    def validation(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, keeps=True, dropout=1.0, learns_bad=False)
