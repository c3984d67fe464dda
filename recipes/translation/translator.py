"""Translates phrases: candidates from the model, the dictionary and the training pairs, of which the model picks one.

A candidate's score is its score in the dictionary, plus, weighted, its log-probability under the model, its length, and what
kind it is. The weights are those that give the highest mean chrF on the validation pairs (minimum error rate training, Och
2003, here by a grid).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from dictionary import Dictionary
from numpy.typing import ArrayLike, NDArray
from pairs import Pair
from similarity import TrigramIndex

from lmcraft.evaluation.likelihood import ScoredText, score_texts
from lmcraft.evaluation.methods.translation import judge_translation
from lmcraft.language_model import LanguageModel

FROM_DICTIONARY, SIMILAR_PAIRS = 40, 2  # candidates for each phrase
MAX_NEW_TOKENS = 100
GRID = {  # of the weights
    "log-probability": (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
    "characters": (0.0, 0.02, 0.05, 0.1, 0.2, 0.4),
    "model": (-16.0, -8.0, -4.0, -2.0, 0.0, 2.0),
    "memory": (-16.0, -8.0, -4.0, -2.0, 0.0),
}


@dataclass(frozen=True)
class Candidate:
    """A translation, and what speaks for it."""

    text: str
    score: float
    """In the dictionary; for other candidates, that of the worst from there."""
    kind: Literal["dictionary", "model", "memory"] = "dictionary"
    """What made it; memory: it translates a similar phrase."""


@dataclass(frozen=True)
class Choice:
    """The candidates of a phrase with their log-probabilities, in nats."""

    source: str
    candidates: tuple[Candidate, ...]
    logprobs: tuple[float, ...]

    def best(self, weights: Sequence[float]) -> int:
        """The index of the candidate with the highest score."""
        return int(np.argmax(self.scores(weights)))

    def scores(self, weights: ArrayLike) -> NDArray[np.float64]:
        """The score of each candidate, (..., weights) to (..., candidates)."""
        return np.array([candidate.score for candidate in self.candidates]) + np.asarray(weights) @ self._features.T

    @cached_property
    def _features(self) -> NDArray[np.float64]:
        """(candidates, weights)"""
        kinds = ((c.kind == "model", c.kind == "memory") for c in self.candidates)
        lengths = (len(candidate.text) for candidate in self.candidates)
        return np.array([(p, n, *kind) for p, n, kind in zip(self.logprobs, lengths, kinds, strict=True)], float)


class Translator:
    """A fine-tuned model with what was learned from the same training pairs."""

    def __init__(self, model: Path, training: Sequence[Pair]) -> None:
        self.training = training
        self.model = LanguageModel.load(model)
        self.dictionary = Dictionary([(pair.source, pair.target) for pair in training])
        self._index = TrigramIndex([pair.source for pair in training])

    def choices(self, sources: Sequence[str]) -> list[Choice]:
        """The candidates of each phrase, scored by the model."""
        written, similar = self.generate(sources), self.similar(sources, SIMILAR_PAIRS)
        rows = [self._candidates(*row) for row in zip(sources, written, similar, strict=True)]
        texts = [
            self._scored_text(source, candidate.text)
            for source, candidates in zip(sources, rows, strict=True)
            for candidate in candidates
        ]
        logprobs = iter([likelihood.total for likelihood in score_texts(self.model.transformer, texts)])
        return [
            Choice(source, tuple(candidates), tuple(next(logprobs) for _ in candidates))
            for source, candidates in zip(sources, rows, strict=True)
        ]

    def generate(self, sources: Sequence[str]) -> list[str]:
        """What the model writes by itself, greedily."""
        prompts = [self.model.tokenizer.encode(f"{source}\n") for source in sources]
        rows = self.model.generate(prompts, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        answers = (row[len(prompt) :] for prompt, row in zip(prompts, rows, strict=True))
        return [self.model.tokenizer.decode(ids).partition("\n")[0].strip() for ids in answers]

    def similar(self, sources: Sequence[str], count: int = 1) -> list[list[str]]:
        """The translations of the most similar training phrases."""
        return [[self.training[number].target for number in row] for row in self._index.nearest(sources, count)]

    def _candidates(self, source: str, written: str, similar: Sequence[str]) -> list[Candidate]:
        scored = self.dictionary.candidates(source, FROM_DICTIONARY)
        worst = min(scored.values(), default=0.0)
        rows = [Candidate(text, score) for text, score in scored.items()]
        others = [Candidate(written, worst, "model")] if written else []
        others += [Candidate(text, worst, "memory") for text in similar]
        return rows + [other for other in others if other.text not in scored]

    def _scored_text(self, source: str, target: str) -> ScoredText:
        tokenizer = self.model.tokenizer
        before, ids = tokenizer.encode(f"{source}\n"), [*tokenizer.encode(f"{source}\n{target}"), *tokenizer.end_ids]
        shared = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(before, ids, strict=False)))
        return ScoredText(tuple(ids), max(1, shared))


def fit_weights(choices: Sequence[Choice], targets: Sequence[str], language: str) -> tuple[float, ...]:
    """The weights of the grid whose choices have the highest mean chrF."""
    grid = np.array(list(itertools.product(*GRID.values())))
    gains = np.zeros(len(grid))
    for choice, target in zip(choices, targets, strict=True):
        rows = [judge_translation(candidate.text, [target], language) for candidate in choice.candidates]
        chrf = np.array([row.values["chrf"] for row in rows])
        gains += chrf[choice.scores(grid).argmax(-1)]
    return tuple(grid[gains.argmax()].tolist())
