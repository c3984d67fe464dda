"""Code: the model writes a function, which must pass tests. Programs run in the sandbox (`lmcraft.evaluation.sandbox`)."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import ClassVar

from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.method import Method, require
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.sandbox import Outcome, run_program
from lmcraft.evaluation.task import Task


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
        config = self.task.config
        rows = [row for row in self.rows if row.number not in done]
        prompts = []
        for row in rows:
            with row.errors():
                prompts.append(model.encode_question(self.examples + self.prompt(row), chat=config.chat))
        continuations = model.generate(prompts, max_new_tokens=config.max_new_tokens, stop=config.stop)
        with ThreadPoolExecutor(cpu_count()) as pool:
            running = []
            for number, text, reason in continuations:
                program = self._program(rows[number], text)
                outcome = pool.submit(run_program, program, seconds=config.seconds)
                running.append((rows[number], text, reason, outcome))
                ended = [entry for entry in running if entry[3].done()]
                running = [entry for entry in running if not entry[3].done()]
                yield [self._judge(row, text, reason, outcome.result()) for row, text, reason, outcome in ended]
            for row, text, reason, outcome in running:
                yield [self._judge(row, text, reason, outcome.result())]

    def _judge(self, row: Row, text: str, reason: str, outcome: Outcome) -> ItemResult:
        return ItemResult(
            row.number,
            values={"pass_at_1": float(outcome.passed), "unfinished": float(reason != "stop")},
            cluster=self.cluster(row),
            details={"text": text, "outcome": outcome.reason},
        )

    def _program(self, row: Row, completion: str) -> str:
        return row.with_values(completion=completion).text(self.task.config.program, "program")
