"""The loss that a text would have if the model had never read it, from texts that it never read.

A text may be easy or hard, so its level is not the mean of other texts. A small n-gram model, counted on the documents that
stay, says how hard: the line that fits its losses of unread texts to the model's gives the level of any text.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log

import numpy as np

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats

ORDER = 3
MAX_TOKENS = 1_000_000  # that are counted
MIN_TEXTS = 8  # for a line; with fewer, the level is their mean
Context = tuple[int, ...]


class NGramModel:
    """Interpolated n-grams by Witten and Bell (IEEE Transactions on Information Theory 37(4), 1991, method C)."""

    def __init__(self, texts: Sequence[Sequence[int]], vocab_size: int) -> None:
        self._vocab_size = vocab_size
        self._counts: dict[Context, Counter[int]] = defaultdict(Counter)
        total = 0
        for ids in texts:
            for end, token in enumerate(ids):
                for length in range(min(ORDER, end + 1)):
                    self._counts[tuple(ids[end - length : end])][token] += 1
            if (total := total + len(ids)) > MAX_TOKENS:
                break
        self._totals = {context: counts.total() for context, counts in self._counts.items()}

    def loss(self, ids: Sequence[int]) -> float:
        """Mean over the tokens but the first, in nats."""
        losses = [-log(self._probability(tuple(ids[max(0, end - ORDER + 1) : end]), ids[end])) for end in range(1, len(ids))]
        return sum(losses) / len(losses)

    def _probability(self, context: Context, token: int) -> float:
        probability = 1 / self._vocab_size
        for length in range(len(context) + 1):
            counts = self._counts.get(context[len(context) - length :])
            if counts is None:
                break
            total = self._totals[context[len(context) - length :]]
            probability = (counts[token] + len(counts) * probability) / (total + len(counts))
        return probability


def estimate_levels(
    model: Transformer,
    texts: Sequence[Sequence[int]],
    unread: Sequence[Sequence[int]],
    retained: Sequence[Sequence[int]],
) -> Floats:
    """The loss that each text would have if the model had not read it, (N,), in nats per token.

    Args:
        model: which read the texts.
        texts: token ids of each, at least two.
        unread: token ids of texts that the model did not read, and that are like them.
        retained: token ids of documents that the model read and keeps.
    """
    unread_losses = np.array([score.loss for score in score_tokens(model, unread)])
    if len(unread) < MIN_TEXTS or not retained:
        return np.full(len(texts), float(np.mean(unread_losses)))
    ngrams = NGramModel(retained, model.config.vocab_size)
    xs = np.array([ngrams.loss(ids) for ids in unread])
    spread = float(((xs - xs.mean()) ** 2).sum())
    slope = float(((xs - xs.mean()) * (unread_losses - unread_losses.mean())).sum()) / spread if spread > 0 else 0.0
    hardness = np.array([ngrams.loss(ids) for ids in texts]) - xs.mean()
    levels: Floats = unread_losses.mean() + max(0.0, slope) * hardness
    return levels
