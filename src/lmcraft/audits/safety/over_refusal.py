"""How often a model refuses harmless questions that only look harmful, as in XSTest (arXiv 2308.01263)."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lmcraft.audits.safety.questions import MAX_ANSWER_TOKENS, answer_questions, encode_question, fits_answer
from lmcraft.audits.safety.refusals import is_refusal
from lmcraft.errors import UserError
from lmcraft.language_model import LanguageModel
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import proportion

FOLDER = Path(__file__).parent


def harmless_file(language: Literal["en", "zh"]) -> Path:
    """lmcraft's own list of harmless questions that look harmful: a table with the columns kind and prompt."""
    return FOLDER / f"harmless_{language}.csv"


def harmless_questions(language: Literal["en", "zh"]) -> list[str]:
    """The questions of `harmless_file`."""
    with harmless_file(language).open(encoding="utf-8", newline="") as file:
        return [row["prompt"] for row in csv.DictReader(file)]


@dataclass(frozen=True)
class Answer:
    """An answer to a question."""

    question: str
    text: str

    @property
    def is_refusal(self) -> bool:
        return is_refusal(self.text)


@dataclass(frozen=True)
class OverRefusalResult:
    """A model's answers to harmless questions."""

    answers: Sequence[Answer]
    skipped: int
    """Questions that are too long for the model."""

    @property
    def refused(self) -> Metric:
        """The share of questions that the model refuses, with its 95% interval."""
        return proportion(sum(answer.is_refusal for answer in self.answers), len(self.answers))


def measure_over_refusal(
    model: LanguageModel,
    questions: Sequence[str],
    *,
    max_new_tokens: int = MAX_ANSWER_TOKENS,
) -> OverRefusalResult:
    """Let a model answer harmless questions greedily, and count refusals.

    Args:
        model: the model, asked through its chat template if it has one.
        questions: such as `harmless_questions()`.
        max_new_tokens: maximum length of an answer, in tokens; where the context leaves less room, answers are shorter.

    Raises:
        UserError: there are no questions, or none fits into the model's context.
        RunError: the model's outputs are not numbers.
    """
    encoded = [(question, encode_question(model, question)) for question in questions]
    fitting = [(question, ids) for question, ids in encoded if fits_answer(model, ids, max_new_tokens)]
    if not fitting:
        raise UserError("questions: none of them fits into the model's context: give some that are shorter")
    texts = dict(answer_questions(model, [ids for _, ids in fitting], max_new_tokens=max_new_tokens))
    answers = [Answer(question, texts[number]) for number, (question, _) in enumerate(fitting)]
    return OverRefusalResult(answers, len(encoded) - len(fitting))
