"""The tasks that a run evaluates its weights on while it trains.

Nothing here changes the training: no random number of the run is drawn, and no weight is touched.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lmcraft.evaluation.catalog import open_tasks
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.likelihood import Likelihood, ScoredText
from lmcraft.evaluation.methods import Method
from lmcraft.evaluation.results import ItemResult, compute_figures
from lmcraft.evaluation.run import open_method
from lmcraft.language_model import LanguageModel
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.task_scores import TaskScore

TIMED_ITEMS = 8  # of each task


@dataclass(frozen=True)
class RunTasks:
    """The tasks of a run, their items read and checked."""

    methods: Sequence[Method]

    @classmethod
    def open(cls, names: Sequence[str], limit: int, config: TransformerConfig, tokenizer: Tokenizer) -> "RunTasks":
        """Open tasks, and check that each of their items fits a model.

        Args:
            names: of tasks and scorecards, and TOML files.
            limit: number of items per task, drawn at random, always the same; 0: all.
            config: of the model.
            tokenizer: of the model.

        Raises:
            UserError: there is no such task, a row of it cannot be used, or an item needs more context than the model has.
            RunError: a download failed.
        """
        with torch.device("meta"):
            model = LanguageModel(Transformer(config), tokenizer)
        methods = [open_method(task, limit) for task in open_tasks(names)]
        for method in methods:
            for _ in method.score(_Encoder(model), frozenset()):
                pass
        return cls(methods)

    def hashes(self) -> dict[str, str]:
        """The hash of each task by its name."""
        return {method.task.name: method.task.hash for method in self.methods}

    @property
    def num_items(self) -> int:
        """The number of items of all tasks."""
        return sum(len(method.rows) for method in self.methods)

    def few_items(self) -> "RunTasks":
        """The same tasks with a few items of each, to measure how long an item takes."""
        return RunTasks([type(method)(method.task, method.rows[:TIMED_ITEMS]) for method in self.methods])

    def score(self, model: LanguageModel, should_stop: Callable[[], bool]) -> dict[str, TaskScore] | None:
        """The scores of a model by task; None if `should_stop` says so after some items.

        Raises:
            RunError: the model's outputs are not numbers.
        """
        device = model.transformer.device
        with torch.random.fork_rng([] if device.type == "cpu" else [device]):
            scores: dict[str, TaskScore] = {}
            for method in self.methods:
                items: list[ItemResult] = []
                for batch in method.score(EvaluatedModel(model), frozenset()):
                    items += batch
                    if should_stop():
                        return None
                figures = {figure.measure.name: figure.metric for figure in compute_figures(method.measures, items)}
                scores[method.task.name] = TaskScore(figures, len(items), method.chance())
            return scores


class _Encoder(EvaluatedModel):
    """Encodes items, and computes nothing: every token is certain, and no answer is generated."""

    def score(self, texts: Sequence[ScoredText]) -> list[Likelihood]:
        return [Likelihood((0.0,) * (len(text.ids) - text.first_scored), True) for text in texts]

    def generate(self, prompts: Sequence[Sequence[int]], **settings: Any) -> Iterator[tuple[int, str, str]]:
        return iter(())
