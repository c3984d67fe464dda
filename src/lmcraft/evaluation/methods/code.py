"""Code: the model writes a function, which must pass tests. Programs run in the sandbox (`lmcraft.evaluation.sandbox`)."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from os import cpu_count
from typing import ClassVar

from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.method import Method, require
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.sandbox import Outcome, run_program
from lmcraft.evaluation.task import Task


@dataclass(frozen=True)
class Answer:
    """A generated text, and its test, which may be running."""

    row: Row
    text: str
    finished: bool
    outcome: Future[Outcome]


class Code(Method):
    """Completes each prompt, and runs the program that `program` makes of it."""

    measures: ClassVar[Sequence[Measure]] = (Measure("pass_at_1"), Measure("unfinished", higher_is_better=False))

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        require(task, "prompt", "program")
        super().__init__(task, rows)
        for row in rows:
            self._program(row, "")

    def gold_text(self, row: Row) -> str:
        return str(row.value(self.task.config.answer, "answer")) if self.task.config.answer else ""

    def answer_text(self, row: Row, result: ItemResult) -> str:
        return f"{result.details['text']}\n({result.details['outcome']})"

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        with ThreadPoolExecutor(cpu_count()) as pool:
            running: list[Answer] = []
            for row, text, finished in self.generate(model, done):
                program = self._program(row, text)
                outcome = pool.submit(run_program, program, seconds=self.task.config.seconds)
                running.append(Answer(row, text, finished, outcome))
                ended = [answer for answer in running if answer.outcome.done()]
                running = [answer for answer in running if not answer.outcome.done()]
                yield [_judge(answer, self.cluster(answer.row)) for answer in ended]
            for answer in running:
                yield [_judge(answer, self.cluster(answer.row))]

    def _program(self, row: Row, completion: str) -> str:
        return row.with_values(completion=completion).text(self.task.config.program, "program")


def _judge(answer: Answer, cluster: str) -> ItemResult:
    outcome = answer.outcome.result()
    return ItemResult(
        answer.row.number,
        values={"pass_at_1": float(outcome.passed), "unfinished": float(not answer.finished)},
        cluster=cluster,
        details={"text": answer.text, "outcome": outcome.reason},
    )
