"""How alike phrases are: the cosine of their character trigrams, weighted by how rare each trigram is (TF-IDF)."""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK_ROWS = 512  # of the matrix of similarities that is computed at a time
PLACEHOLDER = re.compile(
    r"%%|%[-+ #0']*(?:\d+\$)?(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh?|ll?|[qjztL])?[a-zA-Z<>]|<[^<>\s]+>|\{\w*\}|\$\{?\w+\}?"
)
WORD = re.compile(r"[^\W_]+")


class TrigramIndex:
    """Phrases as vectors of length 1.

    Args:
        phrases: those whose trigrams and rarity count.
    """

    def __init__(self, phrases: Sequence[str]) -> None:
        counts = Counter(trigram for phrase in phrases for trigram in trigrams(phrase))
        self._columns = {trigram: column for column, trigram in enumerate(sorted(t for t, n in counts.items() if n > 1))}
        self._weights = np.array([math.log(len(phrases) / counts[trigram]) for trigram in self._columns], np.float32)
        self._vectors = self.vectors(phrases)

    def vectors(self, phrases: Sequence[str]) -> NDArray[np.float32]:
        """(phrases, trigrams)"""
        vectors = np.zeros((len(phrases), len(self._columns)), np.float32)
        for row, phrase in enumerate(phrases):
            columns = [self._columns[trigram] for trigram in trigrams(phrase) if trigram in self._columns]
            vectors[row, columns] = self._weights[columns]
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def nearest(
        self, phrases: Sequence[str], count: int, groups: Sequence[int] = (), own_groups: Sequence[int] = ()
    ) -> list[list[int]]:
        """The indices of the `count` most similar phrases of the index, for each of `phrases`, the most similar first.

        Args:
            phrases: to look up.
            count: how many.
            groups: the group of each phrase of the index.
            own_groups: the group of each of `phrases`, which is left out.
        """
        rows = []
        members = np.array(groups)
        for start in range(0, len(phrases), BLOCK_ROWS):
            scores = self.vectors(phrases[start : start + BLOCK_ROWS]) @ self._vectors.T
            if len(own_groups):
                scores[np.array(own_groups[start : start + BLOCK_ROWS])[:, None] == members] = -1.0
            best = np.argpartition(-scores, min(count, scores.shape[1] - 1), axis=1)[:, :count]
            order = np.take_along_axis(-scores, best, axis=1).argsort(axis=1, kind="stable")
            rows += np.take_along_axis(best, order, axis=1).tolist()
        return rows

    def groups(self, threshold: float) -> list[int]:
        """A number for each phrase of the index: those connected by similarities of at least `threshold` share one."""
        parents = list(range(len(self._vectors)))

        def root(phrase: int) -> int:
            while parents[phrase] != phrase:
                parents[phrase] = parents[parents[phrase]]
                phrase = parents[phrase]
            return phrase

        for start in range(0, len(parents), BLOCK_ROWS):
            scores = self._vectors[start : start + BLOCK_ROWS] @ self._vectors[start:].T
            for first, second in np.argwhere(scores >= threshold).tolist():
                parents[root(start + first)] = root(start + second)
        return [root(phrase) for phrase in range(len(parents))]


def trigrams(phrase: str) -> set[str]:
    """The trigrams of a phrase's words, without case, punctuation and placeholders."""
    text = f" {' '.join(WORD.findall(PLACEHOLDER.sub(' ', phrase).lower()))} "
    return {text[start : start + 3] for start in range(len(text) - 2)}
