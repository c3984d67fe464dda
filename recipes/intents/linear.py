"""The baseline: logistic regression on TF-IDF weights of words and pairs of words."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

STEPS, DECAY = 300, 1e-3


class LinearClassifier:
    """Trained on (text, label) rows."""

    def __init__(self, rows: Sequence[tuple[str, str]]) -> None:
        texts = [terms(text) for text, _ in rows]
        counts = Counter(term for text in texts for term in set(text))
        self.columns = {term: column for column, term in enumerate(counts)}
        self.weights = torch.tensor([math.log(len(rows) / counts[term]) + 1 for term in self.columns])
        self.names = sorted({label for _, label in rows})
        self.layer = torch.nn.Linear(len(self.columns), len(self.names))
        torch.nn.init.zeros_(self.layer.weight)
        inputs = self.vectors(texts)
        targets = torch.tensor([self.names.index(label) for _, label in rows])
        optimizer = torch.optim.AdamW(self.layer.parameters(), lr=0.1, weight_decay=DECAY)
        for _ in range(STEPS):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(self.layer(inputs), targets).backward()
            optimizer.step()

    @torch.no_grad()
    def labels(self, texts: Sequence[str]) -> list[str]:
        """The most likely label of each text."""
        scores = self.layer(self.vectors([terms(text) for text in texts]))
        return [self.names[column] for column in scores.argmax(dim=-1).tolist()]

    def vectors(self, texts: Sequence[Sequence[str]]) -> Tensor:
        """TF-IDF vectors of length 1, one row per text."""
        x = torch.zeros(len(texts), len(self.columns))
        for row, text in enumerate(texts):
            for term in text:
                if term in self.columns:
                    x[row, self.columns[term]] += 1
        return torch.nn.functional.normalize(x * self.weights, dim=-1)


def terms(text: str) -> list[str]:
    """Words and pairs of neighbors, in lower case."""
    words = re.findall(r"\w+", text.lower())
    return [*words, *(f"{a} {b}" for a, b in pairwise(words))]
