"""What a model would say of a text if it had never read it, token by token, from texts that it never read.

A token may be easy or hard to predict. A small n-gram model, counted on the documents that stay, says how hard. Each token
of the text gets a donor, drawn at random: the same token in an unread text, where it is about as hard, or, if the token is
rare, another rare one (hot deck imputation). The donor's log-probability, and the entropy of the model's distribution there,
are its levels, so their spread is that of unread texts, and not only their mean.

Shapes: N tokens of all unread texts, T tokens of a text that are predicted.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Floats

ORDER = 3
MAX_TOKENS = 200_000  # that are counted
MIN_NEIGHBORS, NEIGHBOR_SHARE = 9, 0.02  # of a token, among those of unread texts
MIN_SAME = 20  # times that a token must be in unread texts to lend only to itself
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

    def losses(self, ids: Sequence[int]) -> list[float]:
        """Of the tokens but the first, in nats."""
        return [-log(self._probability(tuple(ids[max(0, end - ORDER + 1) : end]), ids[end])) for end in range(1, len(ids))]

    def _probability(self, context: Context, token: int) -> float:
        probability = 1 / self._vocab_size
        for length in range(len(context) + 1):
            counts = self._counts.get(context[len(context) - length :])
            if counts is None:
                break
            total = self._totals[context[len(context) - length :]]
            probability = (counts[token] + len(counts) * probability) / (total + len(counts))
        return probability


@dataclass(frozen=True)
class Level:
    """What the model should say of the tokens of one text."""

    logprobs: Floats
    """(T,) of each token."""
    means: Floats
    """(T,) mean log-probability of a token that the model would draw there: minus the entropy."""
    expected: float
    """Mean loss of the text that is expected, in nats: over all neighbors of the donors."""


def find_levels(
    model: Transformer,
    texts: Sequence[Sequence[int]],
    unread: Sequence[Sequence[int]],
    retained: Sequence[Sequence[int]],
    *,
    seed: int = 0,
) -> list[Level]:
    """The levels of some texts.

    Args:
        model: which read the texts.
        texts: token ids of each, at least two.
        unread: token ids of texts that the model did not read, and that are like them.
        retained: token ids of documents that the model read and keeps.
        seed: of the donors.
    """
    scores = score_tokens(model, unread)
    logprobs_N, means_N = (np.concatenate([getattr(score, name) for score in scores]) for name in ("logprobs", "means"))
    ngrams, rng = NGramModel(retained, model.config.vocab_size), np.random.default_rng(seed)
    hardness_N = np.concatenate([ngrams.losses(ids) for ids in unread])
    tokens_N = np.concatenate([np.asarray(ids[1:]) for ids in unread])
    donors = _Donors(hardness_N, tokens_N)
    levels = []
    for ids in texts:
        neighbors = [donors.near(*pair) for pair in zip(ids[1:], ngrams.losses(ids), strict=True)]
        drawn = [int(rng.choice(near)) for near in neighbors]
        expected = float(-np.mean([logprobs_N[near].mean() for near in neighbors]))
        levels.append(Level(logprobs_N[drawn], means_N[drawn], expected))
    return levels


class _Donors:
    """The tokens of unread texts, by token and by how hard they are.

    Args:
        hardness_N: loss of each by the n-gram model.
        tokens_N: ids.
    """

    def __init__(self, hardness_N: Floats, tokens_N: NDArray[np.int64]) -> None:
        self._hardness = hardness_N
        self._all = np.argsort(hardness_N, kind="stable")
        by_token = self._all[np.argsort(tokens_N[self._all], kind="stable")]
        borders = np.flatnonzero(np.diff(tokens_N[by_token])) + 1
        groups = np.split(by_token, borders)
        self._groups = {int(tokens_N[group[0]]): group for group in groups if len(group) >= MIN_SAME}
        rare = self._all[~np.isin(tokens_N[self._all], list(self._groups))]
        self._others = rare if len(rare) >= MIN_SAME else self._all

    def near(self, token: int, hardness: float) -> NDArray[np.int64]:
        """Numbers of donors about as hard: the same token in other places, or another rare one."""
        group = self._groups.get(token, self._others)
        count = min(len(group), max(MIN_NEIGHBORS, round(NEIGHBOR_SHARE * len(group))))
        middle = int(np.searchsorted(self._hardness[group], hardness))
        start = min(max(0, middle - count // 2), len(group) - count)
        return group[start : start + count]
