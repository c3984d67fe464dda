"""A kind of task: how it reads its items, asks a model, and judges the answers."""

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel, Question
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task

WINDOW_ITEMS = 64  # scored together; the results of a window are saved together


class Method(ABC):
    """The items of one task, and how they are scored.

    Args:
        task: its settings and data.
        rows: the rows to score; each is one item.

    Raises:
        UserError: a row cannot be used; the message names file and line.
    """

    measures: ClassVar[Sequence[Measure]]
    """The figures, the most important first."""

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        self.task = task
        self.rows = rows
        config = task.config
        self.examples = "".join(
            self.prompt(row) + config.delimiter + self.gold_text(row) + config.few_shot.separator for row in task.examples()
        )

    @abstractmethod
    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        """Score the items, except those in `done` (`Row.number`), and yield results as they come.

        The result of an item does not depend on `done`.

        Raises:
            UserError: an item does not fit the model; the message names file and line.
        """

    @abstractmethod
    def gold_text(self, row: Row) -> str:
        """The right answer, as the examples show it."""

    def chance(self) -> float | None:
        """The first measure of a model that guesses; None if that is next to nothing, or has no meaning."""
        return None

    def item_text(self, row: Row) -> str:
        """The text of an item that training data must not contain: its question and the right answer."""
        config = self.task.config
        return self.prompt(row) + config.delimiter + (self.gold_text(row) if config.answer else "")

    def prompt(self, row: Row) -> str:
        """The prompt of a row, without examples."""
        return row.text(self.task.config.prompt, "prompt")

    def question(self, row: Row) -> Question:
        """What the model answers: the prompt of a row after the examples, or the messages of a chat."""
        return self.examples + self.prompt(row)

    def question_text(self, row: Row) -> str:
        """What is asked, for people."""
        return self.prompt(row) if self.task.config.prompt else ""

    def answer_text(self, row: Row, result: ItemResult) -> str:
        """What the model answered, for people."""
        return str(result.details.get("answer") or result.details.get("text") or "")

    def cluster(self, row: Row) -> str:
        """What the row has in common with others; empty: nothing."""
        expression = self.task.config.cluster
        return str(row.value(expression, "cluster")) if expression else ""

    def generate(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[tuple[Row, str, bool]]:
        """Let the model answer the rows that are not in `done`.

        Yields each row with the generated text and whether it ended by itself, as they end.

        Raises:
            UserError: a prompt does not fit the model; the message names file and line.
        """
        config = self.task.config
        rows = [row for row in self.rows if row.number not in done]
        prompts = []
        for row in rows:
            with row.errors():
                prompts.append(model.encode_question(self.question(row), chat=config.chat))
        continuations = model.generate(prompts, max_new_tokens=config.max_new_tokens, stop=config.stop)
        for number, text, reason in continuations:
            yield rows[number], text, reason == "stop"

    def windows(self, done: Collection[int]) -> Iterator[list[Row]]:
        """The rows in groups that do not depend on `done`, without groups that are done."""
        for start in range(0, len(self.rows), WINDOW_ITEMS):
            window = list(self.rows[start : start + WINDOW_ITEMS])
            if any(row.number not in done for row in window):
                yield window


def normalize_text(text: str, *, ignore_case: bool) -> str:
    """A text as answers are compared: compatible characters alike (NFKC), one space for any white space."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.casefold() if ignore_case else text


def require(task: Task, *settings: str) -> None:
    """Raise UserError if a setting that this kind of task needs is empty."""
    for setting in settings:
        if not getattr(task.config, setting):
            raise UserError(
                f"task '{task.name}' has no {setting}, which kind='{task.config.kind}' needs: add {setting} = ..."
            )
