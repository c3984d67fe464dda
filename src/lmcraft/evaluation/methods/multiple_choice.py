"""Multiple choice by likelihood: the model chooses the answer that it finds most likely.

Accuracy says little about small models; the likelihood of the right answer ranks them much earlier (arXiv 2508.13144), so
it is always reported as bits per byte, too.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any, ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.likelihood import Likelihood, ScoredText
from lmcraft.evaluation.methods.method import Method, require
from lmcraft.evaluation.results import CALIBRATION, ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task
from lmcraft.statistics.calibration import brier_scores

MIN_CHOICES = 2


@dataclass(frozen=True)
class Question:
    """One item."""

    row: Row
    prompt: str
    choices: tuple[str, ...]
    gold: int
    """Index of the right choice."""
    cluster: str


class MultipleChoice(Method):
    """Chooses among the choices of each row."""

    measures: ClassVar[Sequence[Measure]] = (
        Measure("acc_norm"),
        Measure("acc"),
        Measure("bits_per_byte", "ratio", higher_is_better=False),
        *CALIBRATION,
    )

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        require(task, "choices", "answer")
        super().__init__(task, rows)
        self.questions = {row.number: self._question(row) for row in rows}

    def chance(self) -> float:
        return sum(1 / len(question.choices) for question in self.questions.values()) / len(self.questions)

    def gold_text(self, row: Row) -> str:
        choices = self._choices(row)
        return choices[self._gold(row, choices)]

    def answer_text(self, row: Row, result: ItemResult) -> str:
        choice: int = result.details["choice"]
        return self.questions[row.number].choices[choice]

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        for window in self.windows(done):
            questions = [self.questions[row.number] for row in window]
            texts = [text for question in questions for text in self._texts(model, question)]
            likelihoods = iter(model.score(texts))
            results = [self._judge(question, [next(likelihoods) for _ in question.choices]) for question in questions]
            yield [result for result in results if result.item not in done]

    def _question(self, row: Row) -> Question:
        choices = self._choices(row)
        return Question(row, self.examples + self.prompt(row), choices, self._gold(row, choices), self.cluster(row))

    def _choices(self, row: Row) -> tuple[str, ...]:
        templates = self.task.config.choices
        if len(templates) == 1 and "{{" in templates[0]:
            raise UserError(
                f"task '{self.task.name}': choices={templates[0]!r} is one template: write one for each choice, or an "
                "expression that gives a list"
            )
        if len(templates) > 1:
            value: Any = [row.text(template, "choices") for template in templates]
        else:
            value = row.value(templates[0], "choices")
        with row.errors():
            if not isinstance(value, list):
                raise UserError(f"its choices are {value!r}, not a list: write an expression that gives a list")
            if len(value) < MIN_CHOICES:
                raise UserError(f"the number of its choices is {len(value)}: a question needs {MIN_CHOICES} or more")
            if empty := [choice for choice in value if choice is None or not str(choice).strip()]:
                raise UserError(f"one of its choices is {empty[0]!r}: write one that is not empty")
        return tuple(map(str, value))

    def _gold(self, row: Row, choices: Sequence[str]) -> int:
        with row.errors():
            value = row.value(self.task.config.answer, "answer")
            if (gold := find_choice(value, choices)) is None:
                listed = ", ".join(map(repr, choices))
                if (count := choices.count(value)) > 1:
                    raise UserError(
                        f"its answer {value!r} is {count} of its choices, {listed}: name it by its index, or remove the row"
                    )
                raise UserError(f"its answer {value!r} is none of its choices: {listed}")
            return gold

    def _texts(self, model: EvaluatedModel, question: Question) -> list[ScoredText]:
        config = self.task.config
        with question.row.errors():
            return [
                model.encode_answer(question.prompt, choice, delimiter=config.delimiter, chat=config.chat)
                for choice in question.choices
            ]

    def _judge(self, question: Question, likelihoods: Sequence[Likelihood]) -> ItemResult:
        totals = [likelihood.total for likelihood in likelihoods]
        by_length = [total / len(choice) for total, choice in zip(totals, question.choices, strict=True)]
        gold, probabilities = question.gold, _softmax(totals)
        return ItemResult(
            question.row.number,
            values={
                "acc_norm": float(_argmax(by_length) == gold),
                "acc": float(_argmax(totals) == gold),
                "bits_per_byte": -totals[gold] / log(2),
                "brier": brier_scores([probabilities], [gold])[0],
                "ece": max(probabilities),
            },
            weights={"bits_per_byte": float(len(question.choices[gold].encode()))},
            cluster=question.cluster,
            details={"gold": gold, "choice": _argmax(by_length), "probabilities": probabilities},
        )


def find_choice(value: Any, choices: Sequence[str]) -> int | None:
    """The index of the choice that an answer names by its text, its letter or its index; None if there is none."""
    if isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        if choices.count(value) == 1:
            return choices.index(value)
        text = value.strip()
        if len(text) == 1 and text.isalpha() and text.isascii():
            value = ord(text.upper()) - ord("A")
        elif text.isdecimal():
            value = int(text)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < len(choices) else None


def _argmax(values: Sequence[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


def _softmax(logs: Sequence[float]) -> list[float]:
    largest = max(logs)
    weights = [exp(value - largest) for value in logs]
    return [weight / sum(weights) for weight in weights]
