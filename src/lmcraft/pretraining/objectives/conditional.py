"""Conditional training: each passage follows a mark that says whether it is bad (arXiv 2302.08582, section 2).

Unlike in the paper, marks are no targets, so the model spends nothing on predicting them, and its likelihood of a text
without marks is that of text. The token after a mark is also predicted from the token before it.
"""

from lmcraft.data.marks import MarkReading, Marks
from lmcraft.pretraining.objectives.base import PretrainObjective


class Conditional(PretrainObjective):
    """Learns the next token, given whether its passage is bad; the model writes after the mark of a good passage.

    Training removes a share `mark_dropout` of the marks inside documents, since a generated text has none there. Validation
    removes all of those.
    """

    begins_good = True

    def training(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, keeps=True, dropout=self.config.mark_dropout)

    def validation(self, marks: Marks) -> MarkReading:
        return MarkReading(marks, keeps=True, dropout=1.0, learns_bad=False)
