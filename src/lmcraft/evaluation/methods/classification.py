"""Classification: the label that a fine-tuned classifier gives a text."""

from collections.abc import Collection, Iterator, Sequence
from math import log
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.method import Method, require
from lmcraft.evaluation.results import CALIBRATION, ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task
from lmcraft.statistics.calibration import brier_scores

MIN_PROBABILITY = 1e-12  # in the log-loss of an answer that the model excludes


class Classification(Method):
    """Labels each text; `prompt` is the template of the text, and `answer` its label."""

    measures: ClassVar[Sequence[Measure]] = (
        Measure("acc"),
        Measure("nats", "mean", higher_is_better=False),
        *CALIBRATION,
    )

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        require(task, "prompt", "answer")
        super().__init__(task, rows)
        self._gold = {row.number: self.gold_text(row) for row in rows}

    def gold_text(self, row: Row) -> str:
        return str(row.value(self.task.config.answer, "answer"))

    def chance(self) -> float:
        return 1 / len(set(self._gold.values()))

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        classifier = model.text_classifier
        for window in self.windows(done):
            rows = [row for row in window if row.number not in done]
            texts = [self.prompt(row) for row in rows]
            yield [self._judge(row, p) for row, p in zip(rows, classifier.probabilities(texts), strict=True)]

    def _judge(self, row: Row, by_label: dict[str, float]) -> ItemResult:
        gold, labels = self._gold[row.number], list(by_label)
        if gold not in by_label:
            with row.errors():
                raise UserError(f"its answer {gold!r} is none of the classifier's labels: {', '.join(map(repr, labels))}")
        choice, probabilities = max(by_label, key=lambda label: by_label[label]), list(by_label.values())
        return ItemResult(
            row.number,
            values={
                "acc": float(choice == gold),
                "nats": -log(max(by_label[gold], MIN_PROBABILITY)),
                "brier": brier_scores([probabilities], [labels.index(gold)])[0],
                "ece": by_label[choice],
            },
            cluster=self.cluster(row),
            details={
                "gold": labels.index(gold),
                "choice": labels.index(choice),
                "answer": choice,
                "probabilities": probabilities,
            },
        )
