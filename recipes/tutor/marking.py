"""Marks answers: the same value, the same word, or the same meaning."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from exercises import Exercise

from lmcraft.retrieval.index import Encoder, Vectors

MIN_TYPO_CHARS = 5
_ARTICLE = re.compile(r"^(?:the|a|an|it is|it's|answer:)\s+", re.IGNORECASE)


@dataclass(frozen=True)
class Explanations:
    """Marks explanations by their likeness to the chapter's own, and to those of other things in the same chapter.

    Args:
        encoder: of sentences.
        references: the chapter's explanations, by what they explain.
        min_likeness: cosine to the right one that an answer needs.
        min_margin: by which the right one must be more alike than any other.
    """

    encoder: Encoder
    references: dict[str, str]
    min_likeness: float = 0.5
    min_margin: float = 0.0

    @cached_property
    def _vectors(self) -> Vectors:
        return self.encoder(list(self.references.values()))

    def likeness(self, subject: str, answer: str) -> tuple[float, float]:
        """The cosine of an answer to the right reference, and how much that is above the others'."""
        subjects = list(self.references)
        cosines = self._vectors @ self.encoder([answer])[0]
        own = float(cosines[subjects.index(subject)])
        others = [float(cosine) for other, cosine in zip(subjects, cosines, strict=True) if other != subject]
        return own, own - max(others, default=0.0)

    def is_right(self, subject: str, answer: str) -> bool:
        own, margin = self.likeness(subject, answer)
        return own >= self.min_likeness and margin >= self.min_margin

    def calibrated(self, marked: Sequence[tuple[str, str, bool]]) -> "Explanations":
        """With the thresholds that mark most of these answers as they were marked by hand: (subject, answer, is right)."""
        measured = [(*self.likeness(subject, answer), right) for subject, answer, right in marked]

        def agreement(likeness: float, margin: float) -> int:
            return sum((own >= likeness and gap >= margin) == right for own, gap, right in measured)

        grid = [(n / 50, m / 50) for n in range(5, 48) for m in range(-10, 11)]
        best = max(agreement(*pair) for pair in grid)
        middle = np.mean([pair for pair in grid if agreement(*pair) == best], axis=0)
        return Explanations(self.encoder, self.references, float(middle[0]), float(middle[1]))


def is_right(exercise: Exercise, answer: str, explanations: Explanations | None = None) -> bool:
    """Whether an answer is right.

    An output may have other spaces and quotes; a word another case, an article, brackets, a sign at the end, or one wrong
    letter, if that makes it no other choice.
    """
    if exercise.kind == "output":
        return _value(answer) == _value(exercise.answer)
    if exercise.kind == "explain":
        return explanations is not None and explanations.is_right(exercise.question.removeprefix("Explain: "), answer)
    word, right = _word(answer), _word(exercise.answer)
    if word == right or word.rpartition(".")[2] == right:
        return True
    others = {_word(choice) for choice in exercise.choices} - {right}
    return len(right) >= MIN_TYPO_CHARS and word not in others and _is_one_edit(word, right)


def _value(text: str) -> Any:
    text = text.strip().removeprefix(">>>").strip()
    try:
        return repr(ast.literal_eval(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return re.sub(r"\s+", "", text)


def _word(text: str) -> str:
    return re.sub(r"\(.*?\)|[\s“”\"'`.。,，!！$]+$|^[\s“”\"'`$]+", "", _ARTICLE.sub("", text.strip())).casefold().strip()


def _is_one_edit(a: str, b: str) -> bool:
    """Whether one letter is missing, too many or wrong, or two neighbors are swapped."""
    if abs(len(a) - len(b)) > 1 or a == b:
        return a == b
    start = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    rest_a, rest_b = a[start:], b[start:]
    swapped = rest_a[:2] == rest_b[1::-1] and rest_a[2:] == rest_b[2:]
    return swapped or rest_a[1:] == rest_b[1:] or rest_a[1:] == rest_b or rest_a == rest_b[1:]


def overlap(answer: str, reference: str) -> float:
    """The baseline: F1 of the words that two texts share."""
    a, b = ({*re.findall(r"\w+", text.lower())} for text in (answer, reference))
    return 2 * len(a & b) / (len(a) + len(b)) if a or b else 0.0
