"""What the model reads: the most similar pair, then the phrase and a draft made with the dictionary."""

import random
from collections.abc import Iterator, Sequence

from dictionary import Dictionary
from pairs import Pair
from similarity import TrigramIndex

FOLDS = 4


class Prompter:
    """Makes prompts from the training pairs."""

    def __init__(self, training: Sequence[Pair]) -> None:
        self.training = training
        self.dictionary = Dictionary([(pair.source, pair.target) for pair in training])
        self._index = TrigramIndex([pair.source for pair in training])
        self._groups = [pair.group for pair in training]

    def prompt(self, source: str) -> str:
        """The prompt of a new phrase."""
        return self.prompts([source])[0]

    def prompts(self, sources: Sequence[str]) -> list[str]:
        """The prompts of new phrases."""
        nearest = self._index.nearest(sources, 1)
        return [self._format(s, self.dictionary.translate(s), n) for s, n in zip(sources, nearest, strict=True)]

    def training_prompts(self) -> list[str]:
        """The prompts of the training pairs, as if each were new: neither the most similar pair nor the dictionary knows its
        near-duplicates."""
        nearest = self._index.nearest([pair.source for pair in self.training], 1, self._groups, self._groups)
        drafts = dict(self._cross_fitted_drafts())
        return [self._format(pair.source, drafts[n], nearest[n]) for n, pair in enumerate(self.training)]

    def nearest(self, sources: Sequence[str]) -> list[str]:
        """The translation of the most similar training phrase, for each phrase."""
        return [self.training[row[0]].target for row in self._index.nearest(sources, 1)]

    def _cross_fitted_drafts(self) -> Iterator[tuple[int, str]]:
        folds = {group: random.Random(group).randrange(FOLDS) for group in self._groups}
        for fold in range(FOLDS):
            others = [(pair.source, pair.target) for pair in self.training if folds[pair.group] != fold]
            dictionary = Dictionary(others)
            for number, pair in enumerate(self.training):
                if folds[pair.group] == fold:
                    yield number, dictionary.translate(pair.source)

    def _format(self, source: str, draft: str, nearest: Sequence[int]) -> str:
        examples = "".join(f"{self.training[n].source} = {self.training[n].target}\n" for n in nearest)
        return f"{examples}{source} ~ {draft}"
