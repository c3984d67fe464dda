"""`lmcraft evaluate`: measure a model on tasks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from lmcraft.config import MACHINE, OUTPUT, SEVERAL_VALUES, Config, automatic, command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.evaluation.results import TaskResult

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from lmcraft.evaluation.run import Evaluation
    from lmcraft.evaluation.task import Task
    from lmcraft.model_source import ModelSource


@command_config
@dataclass(frozen=True)
class EvaluateConfig(Config):
    """Measure a model on tasks, and print each figure with its 95% interval.

    The result of every item is saved as it comes: the same command continues after an interruption, and takes no time when
    nothing has changed.
    """

    model: str
    """Model folder, GGUF file or address."""
    _: KW_ONLY
    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES] = ("english",)
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/add-a-task.md)."""
    limit: Annotated[int, automatic("all")] = 0
    """Number of items per task, drawn at random, always the same ones."""
    chat: bool = False
    """Ask through the model's chat template, whatever the tasks say."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the results; by default lmcraft/evaluations in the model's folder, or evaluations/NAME for other models."""
    list_tasks: Annotated[bool, OUTPUT] = False
    """Print the tasks and scorecards instead."""
    weights: Annotated[Literal["auto", "float32", "bfloat16", "int8", "int4"], MACHINE] = "auto"
    """Data type of the weights while answers are generated."""
    device: Annotated[str, MACHINE] = "auto"
    """Device: cpu, cuda or auto."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of weights and activations."""

    def resolved(self) -> EvaluateConfig:
        if self.limit < 0:
            raise UserError(f"limit={self.limit} must not be negative; 0 scores all items")
        if not self.tasks:
            raise UserError("tasks is empty: name at least one task or scorecard")
        return self


@takes_settings(EvaluateConfig)
def evaluate(config: EvaluateConfig) -> list[TaskResult]:
    """Score the tasks, print their figures, and keep the results.

    Raises:
        UserError: there is no such model or task, a row of a task cannot be used, or a task does not fit the model.
        RunError: a download failed, the model's outputs are not numbers, or the disk is full.
        InterruptedRunError: a signal stopped the run; the same command continues.
    """
    from lmcraft.evaluation.catalog import open_tasks
    from lmcraft.folder.lock import lock_folder
    from lmcraft.terminal import line_printer, print_result

    config = config.resolved()
    tasks = open_tasks(config.tasks)
    with open_evaluation(config) as evaluation:
        evaluation.folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(evaluation.folder, wait=False):
            results = [_run(evaluation, task, config.limit) for task in tasks]
    print_result(figure_table(results))
    line_printer()(f"results: {evaluation.folder}")
    return results


@contextmanager
def open_evaluation(config: EvaluateConfig) -> Iterator[Evaluation]:
    """Open the model of a configuration; its weights are read when the first item needs them."""
    from lmcraft.evaluation.evaluated_model import EvaluatedModel
    from lmcraft.evaluation.run import Evaluation
    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import choose_machine
    from lmcraft.model_source import open_model

    machine = choose_machine(config.device, config.precision)
    weights = None if config.weights == "auto" else config.weights
    with open_model(config.model) as source:
        model = LanguageModel.of(source, dtype=machine.dtype, device=machine.device, tier="auto", weights=weights)
        settings = {"precision": machine.precision, "weights": config.weights, "chat": config.chat}
        yield Evaluation(EvaluatedModel(model, config.chat), source.fingerprint, settings, _folder(config, source))


def _folder(config: EvaluateConfig, source: ModelSource) -> Path:
    from lmcraft.folder import ModelFolder

    if config.out is not None:
        return config.out
    is_own = Path(config.model).expanduser().is_dir()
    return ModelFolder(source.path).run / "evaluations" if is_own else Path("evaluations") / source.name


def _run(evaluation: Evaluation, task: Task, limit: int) -> TaskResult:
    from lmcraft.terminal import progress_bar
    from lmcraft.training.signals import stop_on_signals

    with progress_bar(task.name) as report, stop_on_signals() as stop:
        return evaluation.run(task, limit=limit, report=report, stop_signal=lambda: stop.signal_number)


def figure_table(results: Sequence[TaskResult]) -> RenderableType:
    """A table of the figures of all tasks."""
    from lmcraft.terminal import column_table

    rows = []
    for result in results:
        for n, figure in enumerate(result.figures):
            metric, chance = figure.metric, result.chance if n == 0 else None
            interval = "" if metric.low is None or metric.high is None else f"{metric.low:.3f} to {metric.high:.3f}"
            name = result.task if n == 0 else ""
            rows.append(
                (
                    name,
                    f"{figure.count:,}" if n == 0 else "",
                    figure.measure.name,
                    f"{metric.value:.3f}",
                    interval,
                    "" if chance is None else f"{chance:.3f}",
                )
            )
    return column_table("", ("task", "items", "figure", "value", "95% interval", "chance"), rows)
