"""Exact match: the model writes an answer, which must be the right one."""

import re
from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.method import Method, normalize_text, require
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task


class Generation(Method):
    """Generates an answer for each row, and compares what `extract` finds in it with the right answers."""

    measures: ClassVar[Sequence[Measure]] = (Measure("exact_match"), Measure("unfinished", higher_is_better=False))

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        require(task, "prompt", "answer")
        super().__init__(task, rows)
        self._pattern = _compile(task)
        self._gold = {row.number: self._gold_texts(row) for row in rows}

    def gold_text(self, row: Row) -> str:
        return self._gold_texts(row)[0]

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        for row, text, finished in self.generate(model, done):
            yield [self._judge(row, text, finished=finished)]

    def _judge(self, row: Row, text: str, *, finished: bool) -> ItemResult:
        answer, gold = self.extract(text), self._gold[row.number]
        right = answer is not None and self._normalized(answer) in map(self._normalized, gold)
        return ItemResult(
            row.number,
            values={"exact_match": float(right), "unfinished": float(not finished)},
            cluster=self.cluster(row),
            details={"text": text, "answer": answer, "gold": gold},
        )

    def extract(self, text: str) -> str | None:
        """The answer in a generated text: the last match of `extract`, or the whole text; None without a match."""
        if self._pattern is None:
            return text
        matches = list(self._pattern.finditer(text))
        return matches[-1][matches[-1].lastindex or 0] if matches else None

    def _normalized(self, text: str) -> str:
        return normalize_text(text, ignore_case=self.task.config.ignore_case).strip(" .")

    def _gold_texts(self, row: Row) -> list[str]:
        value = row.value(self.task.config.answer, "answer")
        texts = [
            str(text) for text in (value if isinstance(value, list) else [value]) if text is not None and str(text).strip()
        ]
        if not texts:
            with row.errors():
                raise UserError("its answer is empty: write one, or remove the row")
        return texts


def _compile(task: Task) -> re.Pattern[str] | None:
    try:
        return re.compile(task.config.extract) if task.config.extract else None
    except re.error as error:
        raise UserError(
            f"task '{task.name}': extract={task.config.extract!r} is not a regular expression ({error}): correct it"
        ) from error
