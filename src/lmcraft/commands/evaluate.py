"""`lmcraft evaluate`: measure a model on tasks."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from lmcraft.config import DATA, OFF, OUTPUT, SEVERAL_VALUES, command_config, takes_settings
from lmcraft.errors import InterruptedRunError, RunError, UserError
from lmcraft.evaluation.config import TaskSettings
from lmcraft.evaluation.results import TaskResult
from lmcraft.folder import ModelFolder
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.setting_values import expand_user

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from lmcraft.evaluation.methods import Method
    from lmcraft.evaluation.run import Evaluation
    from lmcraft.evaluation.task import Task
    from lmcraft.folder import DatasetFolder
    from lmcraft.model_source import ModelSource


@command_config
@dataclass(frozen=True)
class EvaluateConfig(TaskSettings):
    """Measure a model on tasks, and print each figure with its 95% interval.

    The result of every item is saved as it comes: the same command continues after an interruption, and takes no time when
    nothing has changed.
    """

    model: ModelArgument = ""
    """Model folder, GGUF file or address; not needed for --tasks list."""
    _: KW_ONLY
    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES] = ("english",)
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/add-a-task.md); list: print what there is."""
    require: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Figures that the model must reach, such as my-task=0.9 (a task's first figure) or my-task/bits_per_byte=1.2; otherwise
    the exit status is 1, and the failed tests are named."""
    fit_temperature: bool = False
    """For a classifier: make its probabilities mean what they say. Fits the temperature on the items of the tasks, and saves
    it in the model's folder, where `classify` and the server read it."""
    fit_threshold: Annotated[float, OFF] = 0.0
    """With --fit-temperature: the share of labels that must be right, such as 0.99. Saves the least probability at which
    they are; below it, `classify` and the server answer that they are unsure."""
    training_data: Annotated[str, DATA] = "auto"
    """Dataset folder to look for the items in; auto: that of the model's own run, if it is still there; off: none."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the results; by default lmcraft/evaluations in the model's folder, or evaluations/NAME for other models."""

    def resolved(self) -> Self:
        if self.fit_threshold and not self.fit_temperature:
            raise UserError(f"fit_threshold={self.fit_threshold:g} belongs to --fit-temperature: add it")
        if not 0 <= self.fit_threshold < 1:
            raise UserError(
                f"fit_threshold={self.fit_threshold:g} is not a share of the labels: use one below 1, such as 0.99"
            )
        if not self.model and not self.lists_tasks:
            raise UserError("model is missing: name a model folder, a GGUF file or an address")
        return super().resolved()

    @property
    def lists_tasks(self) -> bool:
        """Whether to print the tasks instead."""
        return self.tasks == ("list",)


@takes_settings(EvaluateConfig)
def evaluate(config: EvaluateConfig = EvaluateConfig()) -> list[TaskResult]:
    """Score the tasks, print their figures, and keep the results.

    Raises:
        UserError: there is no such model or task, a row of a task cannot be used, or a task does not fit the model.
        RunError: the model falls short of `require`, a download failed, its outputs are not numbers, or the disk is full.
        InterruptedRunError: a signal stopped the run; the same command continues.
    """
    from lmcraft.energy.meter import open_meter
    from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
    from lmcraft.energy.recording import describe_row, recording_energy
    from lmcraft.evaluation.catalog import open_tasks
    from lmcraft.evaluation.requirements import Requirement
    from lmcraft.folder.lock import lock_folder
    from lmcraft.reports.card import update_card
    from lmcraft.reports.evaluation import TITLE, figure_rows, write_evaluation
    from lmcraft.reports.evidence.evaluations import write_figures
    from lmcraft.reports.template import check_page
    from lmcraft.terminal import column_table, line_printer, print_result

    config = config.resolved()
    if config.lists_tasks:
        print_result(task_table())
        return []
    begin, tasks = open_meter().read(), open_tasks(config.tasks)
    with open_evaluation(config) as evaluation:
        check_page(evaluation.folder, TITLE, "evaluation")
        evaluation.folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(evaluation.folder, wait=False):
            # each complains before the first task has taken its time
            methods = [evaluation.open_method(task, config.limit) for task in tasks]
            requirements = [Requirement.parse(setting, methods) for setting in config.require]
            with recording_energy(evaluation.folder / ENERGY_FILE, "evaluate", begin) as energy:
                counted = replace(evaluation, count_items=energy.count)
                results = [run_method(counted, method, method.task.name) for method in methods]
            own = ModelFolder(expand_user(config.model))
            if is_own := _lies_in(evaluation.folder, own):
                for method, result in zip(methods, results, strict=True):
                    write_figures(own, method.task, evaluation.settings, result)
        if config.fit_temperature:
            _fit_temperature(config, results)
    head, rows = figure_rows(results)
    total = EnergyRecord.read(evaluation.folder / ENERGY_FILE).total
    print_result(column_table("", head, rows), *_failed_lines(results), *filter(None, [describe_row(total, "items")]))
    page = write_evaluation(evaluation.folder, config.model, evaluation.settings, results)
    line_printer()(f"results: {evaluation.folder}; report: {page}")
    if is_own:
        update_card(own, line_printer())
    if shortfalls := list(filter(None, (requirement.shortfall(results) for requirement in requirements))):
        raise RunError("\n".join(shortfalls))
    return results


def _lies_in(results: Path, folder: ModelFolder) -> bool:
    """Whether results are in the folder of their model."""
    own = folder.run / "evaluations"
    return own.is_dir() and own.samefile(results)


def _failed_lines(results: Sequence[TaskResult]) -> list[str]:
    """A line for each of the first tests that failed."""
    from lmcraft.evaluation.requirements import MAX_NAMED, failed_tests

    lines = []
    for result in results:
        failed = failed_tests(result)
        lines += [f"failed: {name}: {reason}" for name, reason in failed[:MAX_NAMED]]
        if len(failed) > MAX_NAMED:
            lines.append(f"and {len(failed) - MAX_NAMED:,} more of {result.task}: see {result.file}")
    return lines


@contextmanager
def open_evaluation(config: EvaluateConfig) -> Iterator[Evaluation]:
    """Open the model of a configuration; its weights are read when the first item needs them."""
    from lmcraft.model_source import open_model

    with open_model(config.model) as source:
        evaluation = build_evaluation(source, config, config.out or results_folder(config.model, source))
        yield replace(evaluation, training_data=_training_data(config, source))


def build_evaluation(source: ModelSource, config: TaskSettings, folder: Path) -> Evaluation:
    """The evaluation of an open model, with its results in `folder`."""
    from lmcraft.evaluation.evaluated_model import EvaluatedModel
    from lmcraft.evaluation.run import Evaluation
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import choose_machine

    machine = choose_machine(config.device, config.precision)
    settings: dict[str, object] = {"precision": machine.precision, "weights": config.weights, "chat": config.chat}
    if ModelFolder(source.path).labels.is_file():
        classifier = Classifier.load(source.path, dtype=machine.dtype, device=machine.device)
        model = EvaluatedModel(None, classifier=classifier)
        settings["temperature"] = classifier.labels.temperature
    else:
        weights = None if config.weights == "auto" else config.weights
        language_model = LanguageModel.of(source, dtype=machine.dtype, device=machine.device, tier="auto", weights=weights)
        model = EvaluatedModel(language_model, config.chat, sampling=config.generation_settings())
        settings |= {"sampling": dict(model.sampling)} if model.sampling else {}
    return Evaluation(model, source.hash_contents(), settings, folder)


def results_folder(model: str, source: ModelSource, kind: str = "evaluations") -> Path:
    """Where the results of a model lie by default: in its folder, if it has one of its own that can be written."""
    folder = expand_user(model)
    is_own = folder.is_dir() and os.access(folder, os.W_OK)
    return ModelFolder(source.path).run / kind if is_own else Path(kind) / source.name


def _fit_temperature(config: EvaluateConfig, results: Sequence[TaskResult]) -> None:
    """Fit the temperature of a classifier on the items of all tasks, save it, and print the error that it leaves.

    Raises:
        UserError: the model is no classifier, or there are too few items.
    """
    from lmcraft.evaluation.calibration import calibrate
    from lmcraft.finetuning.head import Labels
    from lmcraft.lineage.record import record_change
    from lmcraft.terminal import print_result

    folder = Path(config.model)
    labels = Labels.load(folder)
    calibration = calibrate([item for result in results for item in result.items])
    labels = replace(labels, temperature=labels.temperature * calibration.temperature)
    if config.fit_threshold:
        labels = replace(labels, threshold=calibration.threshold(config.fit_threshold))
    labels.save(folder)
    record_change(ModelFolder(folder), ModelFolder(folder).labels)
    print_result(
        f"temperature {labels.temperature:.2f}, saved in '{folder}': calibration error "
        f"{calibration.before:.3f} before, {calibration.after:.3f} after, on items that it was not fitted on"
    )
    if config.fit_threshold:
        share = sum(confidence >= labels.threshold for confidence in calibration.confidences) / len(calibration.confidences)
        print_result(
            f"threshold {labels.threshold:.3f}, saved there, too: {share:.1%} of the items get a label, of which at least "
            f"{config.fit_threshold:.1%} are right"
        )


def _training_data(config: EvaluateConfig, source: ModelSource) -> DatasetFolder | None:
    """The dataset to look for items in, opened; None if there is none to be found."""
    from lmcraft.folder import DatasetFolder, sha256_of
    from lmcraft.pretraining.config import PretrainConfig

    if config.training_data == "off":
        return None
    if config.training_data != "auto":
        folder = DatasetFolder(Path(config.training_data))
        folder.token_manifest()
        return folder
    run = ModelFolder(source.path).config_toml
    if not run.is_file() or not source.lineage.data:
        return None
    with suppress(UserError):  # the settings of another kind of run
        folder = DatasetFolder(PretrainConfig.from_toml(run).data)
        if folder.manifest_file.is_file() and sha256_of(folder.manifest_file) == source.lineage.data[0].manifest_sha256:
            return folder
    return None


def run_task(evaluation: Evaluation, task: Task, limit: int, title: str) -> TaskResult:
    """Score a task with a progress bar; a signal stops it after the items that are done. Errors as in `Evaluation.run`."""
    return run_method(evaluation, evaluation.open_method(task, limit), title)


def run_method(evaluation: Evaluation, method: Method, title: str) -> TaskResult:
    """The same for a task whose items are open."""
    from lmcraft.terminal import progress_bar
    from lmcraft.training.signals import stop_on_signals

    with progress_bar(title) as report, stop_on_signals() as stop:
        result = evaluation.run_method(method, report=report, stop_signal=lambda: stop.signal_number)
    if stop:
        raise InterruptedRunError(
            f"stopped by a signal at the end of '{method.task.name}', whose results are saved; run the same command again "
            "to continue",
            stop.signal_number,
        )
    return result


def task_table() -> RenderableType:
    """A table of the tasks that lmcraft brings, and the scorecards that they are in."""
    from lmcraft.evaluation.catalog import open_tasks, scorecards, task_names
    from lmcraft.terminal import column_table

    rows = []
    for task in open_tasks(task_names()):
        cards = [name for name, card in scorecards().items() if task.name in card.tasks]
        rows.append([task.name, task.config.kind, task.config.language, ", ".join(cards), task.config.description])
    return column_table("", ["task", "kind", "language", "scorecards", "asks"], rows)
