"""How far texts are from an author's style: Burrows's Delta (Literary and Linguistic Computing 17(3), 2002).

The most frequent words say little about a subject and much about an author. Delta is the mean, over these words, of the
difference of their shares of the text, in standard deviations of the shares among texts of several authors.

Shapes: F words that are compared; counts have F + 1 columns, the last of which is the number of all words of a text.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from lmcraft.errors import UserError
from lmcraft.statistics.distributions import t_quantile
from lmcraft.statistics.intervals import UPPER, Floats, Metric

WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+(?:['\u2019][^\W\d_]+)*")
WORDS_COMPARED = 100
MIN_TEXTS = 2


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; each Chinese or Japanese character is one."""
    return [word.lower().replace("\u2019", "'") for word in WORD.findall(text)]


class StyleProfile:
    """An author's shares of the words that are most frequent among several authors."""

    def __init__(self, author: Sequence[str], others: Sequence[str], words: int = WORDS_COMPARED) -> None:
        """Count the words.

        Args:
            author: texts of the author, of about equal lengths, each of some hundred words.
            others: texts of others, of the same lengths.
            words: number of words that are compared, F.

        Raises:
            UserError: there are fewer than two texts of the author or of others, or no words in them.
        """
        if min(len(author), len(others)) < MIN_TEXTS:
            raise UserError(
                f"{len(author)} texts of the author and {len(others)} of others are too few: give {MIN_TEXTS} or more"
            )
        totals = Counter(word for text in [*author, *others] for word in words_of(text))
        self.words = tuple(word for word, _ in totals.most_common(words))
        own, background = self.counts(author), self.counts([*author, *others])
        if not self.words or not own[:, -1].sum():
            raise UserError("the texts have no words, so no style: give texts with letters")
        deviations = _shares(background).std(0)
        self._scale = np.where(deviations > 0, deviations, np.inf)
        self._shares = _shares(own.sum(0))

    def counts(self, texts: Sequence[str]) -> Floats:
        """How often each text has each word, and its number of words, (texts, F + 1)."""
        rows = np.zeros((len(texts), len(self.words) + 1))
        for row, text in zip(rows, texts, strict=True):
            counted = Counter(words_of(text))
            row[:] = [*(counted[word] for word in self.words), counted.total()]
        return rows

    def distance(self, texts: Sequence[str]) -> Metric:
        """Delta between the author and all texts together, 0 for the same shares, with a jackknife interval over texts.

        Short texts have a larger Delta, since their shares are less certain: compare texts of the same length. The bootstrap
        does not fit here: what it draws twice makes the shares less certain still, and so its Delta larger.

        Args:
            texts: of one author or model; without words, Delta is NaN.
        """
        counts = self.counts(texts)
        total = counts.sum(0)
        value = float(self._delta(total))
        without = self._delta(total - counts)
        count = len(without)
        if not np.isfinite(value) or count < MIN_TEXTS or not np.isfinite(without).all() or not without.std():
            return Metric(value)
        margin = t_quantile(UPPER, count - 1) * float(np.sqrt(count - 1) * without.std())
        return Metric(value, max(0.0, value - margin), value + margin)

    def _delta(self, counts: Floats) -> Floats:
        """Of summed counts, (..., F + 1)."""
        return np.asarray((abs(_shares(counts) - self._shares) / self._scale).mean(-1))


def _shares(counts: Floats) -> Floats:
    """(..., F + 1) to (..., F)"""
    return counts[..., :-1] / np.where(counts[..., -1:] > 0, counts[..., -1:], np.nan)
