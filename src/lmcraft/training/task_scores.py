"""The scores of a run's weights on tasks, as its log and its lines show them.

What scores them is passed to the `Trainer` as a function (`ScoreTasks`), because the tasks lie in a package above this one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lmcraft.statistics.intervals import Metric, describe_metric

if TYPE_CHECKING:
    from lmcraft.model.transformer import Transformer

BITS_PER_BYTE = "bits_per_byte"
"""The figure that shows what accuracy does not show yet; each task that has it is drawn by both."""


@dataclass(frozen=True)
class TaskScore:
    """The figures of a model on one task."""

    figures: Mapping[str, Metric]
    """By name, the most important first."""
    items: int
    """Number of items."""
    chance: float | None
    """The first figure of a model that guesses; None if that is next to nothing, or has no meaning."""

    def describe(self) -> str:
        """The first figure and the bits per byte, with their intervals."""
        return ", ".join(f"{name} {describe_metric(asdict(self.figures[name]))}" for name in main_figures(self.figures))


TaskScores = Mapping[str, TaskScore]
"""By the name of the task."""
ScoreTasks = Callable[["Transformer", Callable[[], bool]], TaskScores | None]
"""Scores the model, unless the second argument asks to stop, which gives None. Every process of a run calls it, and it
returns the scores in the main one and None in the others."""


def task_row(scores: TaskScores) -> dict[str, Any]:
    """The scores as a row of metrics.jsonl: each figure with the ends of its interval."""
    return {
        "tasks": {
            task: {name: [metric.value, metric.low, metric.high] for name, metric in score.figures.items()}
            for task, score in scores.items()
        },
        "items": {task: score.items for task, score in scores.items()},
        "chance": {task: score.chance for task, score in scores.items() if score.chance is not None},
    }


def main_figures(names: Iterable[str]) -> list[str]:
    """The first of a task's figures, and the bits per byte."""
    return [name for n, name in enumerate(names) if n == 0 or name == BITS_PER_BYTE]
