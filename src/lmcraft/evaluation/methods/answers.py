"""What a model answers to prompts, for people to read: nothing is judged."""

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.method import Method, require
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task


class Answers(Method):
    """Continues each prompt greedily; a prompt that does not fit the model gets the reason instead of an answer."""

    measures: ClassVar[Sequence[Measure]] = (Measure("unfinished", higher_is_better=False),)

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        require(task, "prompt")
        super().__init__(task, rows)
        if empty := [row for row in rows if not self.prompt(row).strip()]:
            with empty[0].errors():
                raise UserError("its prompt is empty: write one, or remove the row")

    def gold_text(self, row: Row) -> str:
        return ""

    def answer_text(self, row: Row, result: ItemResult) -> str:
        return f"({result.details['error']})" if "error" in result.details else str(result.details["text"])

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        config = self.task.config
        rows, prompts, refused = [], [], []
        for row in (row for row in self.rows if row.number not in done):
            try:
                prompts.append(model.encode_question(self.examples + self.prompt(row), chat=config.chat))
                rows.append(row)
            except UserError as error:
                refused.append(ItemResult(row.number, {}, details={"error": str(error)}))
        if refused:
            yield refused
        for number, text, reason in model.generate(prompts, max_new_tokens=config.max_new_tokens, stop=config.stop):
            yield [ItemResult(rows[number].number, {"unfinished": float(reason != "stop")}, details={"text": text})]
