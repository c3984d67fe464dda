"""How well a model predicts texts: bits per byte, which compares models with different vocabularies, and perplexity."""

from collections.abc import Collection, Iterator, Sequence
from math import log
from typing import ClassVar

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.likelihood import ScoredText
from lmcraft.evaluation.methods.method import Method
from lmcraft.evaluation.results import ItemResult, Measure
from lmcraft.evaluation.row import Row
from lmcraft.evaluation.task import Task

MAX_WINDOW_TOKENS = 2048  # each token sees at least half as many before it, so a longer window changes little


class Perplexity(Method):
    """Scores each text; long ones in windows that overlap by half, so that every token has context."""

    measures: ClassVar[Sequence[Measure]] = (
        Measure("bits_per_byte", "ratio", higher_is_better=False),
        Measure("nats_per_token", "ratio", higher_is_better=False),
    )

    def __init__(self, task: Task, rows: Sequence[Row]) -> None:
        super().__init__(task, rows)
        self._texts = {row.number: self._text(row) for row in rows}

    def gold_text(self, row: Row) -> str:
        return self._text(row)

    def item_text(self, row: Row) -> str:
        return self._text(row)

    def question_text(self, row: Row) -> str:
        return self._text(row)

    def score(self, model: EvaluatedModel, done: Collection[int]) -> Iterator[list[ItemResult]]:
        for row in self.rows:
            if row.number not in done:
                yield [self._score(model, row)]

    def _score(self, model: EvaluatedModel, row: Row) -> ItemResult:
        text, tokenizer = self._texts[row.number], model.model.tokenizer
        text_ids = tokenizer.encode(text)
        start = model.start_ids or text_ids[:1]  # without a token that begins a text, the first one cannot be scored
        ids = [*start, *text_ids[0 if model.start_ids else 1 :]]
        windows = list(split_windows(ids, len(start), min(model.context_length, MAX_WINDOW_TOKENS)))
        nats = -sum(likelihood.total for likelihood in model.score(windows))
        return ItemResult(
            row.number,
            values={"bits_per_byte": nats / log(2), "nats_per_token": nats},
            weights={"bits_per_byte": float(len(text.encode())), "nats_per_token": float(len(ids) - len(start))},
            cluster=self.cluster(row),
        )

    def _text(self, row: Row) -> str:
        text = row.value(self.task.config.text, "text")
        if not isinstance(text, str) or not text:
            with row.errors():
                raise UserError(f"its text is {text!r}: name the column that holds the text with text = ...")
        return text


def split_windows(ids: Sequence[int], first_scored: int, size: int) -> Iterator[ScoredText]:
    """Windows of at most `size` tokens that score each token from `first_scored` on once."""
    start, scored = 0, first_scored
    while scored < len(ids):
        stop = min(len(ids), start + size)
        yield ScoredText(tuple(ids[start:stop]), scored - start)
        scored = stop
        start = max(0, stop - size // 2)
