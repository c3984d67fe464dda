"""`lmcraft compare`: models side by side, on the same tasks and prompts."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from lmcraft.commands.evaluate import build_evaluation, results_folder, run_task
from lmcraft.config import OUTPUT, command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.evaluation.compared import ModelComparison
from lmcraft.evaluation.config import TaskSettings
from lmcraft.hub.model_argument import ModelArguments
from lmcraft.setting_values import expand_user

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from lmcraft.evaluation.compared import Answered, ComparedModel, Speed
    from lmcraft.evaluation.methods import Method
    from lmcraft.evaluation.results import TaskResult
    from lmcraft.evaluation.run import Evaluation
    from lmcraft.evaluation.task import Task
    from lmcraft.model_source import ModelSource

MIN_MODELS = 2
MAX_FOLDER_NAME_CHARACTERS = 100


@command_config
@dataclass(frozen=True)
class CompareConfig(TaskSettings):
    """Compare models on the same tasks and prompts: one page, with paired intervals, and ties instead of ranks.

    Results that `lmcraft evaluate` has saved are used, and new ones are saved in the same place: the same command continues
    after an interruption.
    """

    models: ModelArguments
    """Two models or more: folders, GGUF files or addresses. With more than two, each is compared with the first."""
    _: KW_ONLY
    prompts: Path | None = None
    """More prompts to answer: a text file with one in each line, or a table with the column prompt."""
    max_new_tokens: int = 128
    """Maximum length of an answer to a prompt, in tokens."""
    speeds: bool = True
    """Measure how fast the models read and write, for some seconds."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the page and comparison.json; by default comparisons/A-B."""
    overwrite: Annotated[bool, OUTPUT] = False
    """Replace the comparison of other models in that folder."""

    def resolved(self) -> Self:
        if len(self.models) < MIN_MODELS:
            raise UserError(f"models: {len(self.models)} model cannot be compared: name {MIN_MODELS} or more")
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens={self.max_new_tokens} must be 1 or more")
        if self.prompts is not None and not self.prompts.is_file():
            raise UserError(f"prompts='{self.prompts}' is no file: check the path")
        return super().resolved()


@takes_settings(CompareConfig)
def compare(config: CompareConfig) -> ModelComparison:
    """Evaluate what is missing, print the figures and their differences, and write the page.

    Raises:
        UserError: there is no such model or task, two models are the same, no task can be compared, or `out` holds anything
            but a comparison of these models.
        RunError: a download failed, a model's outputs are not numbers, or the disk is full.
        InterruptedRunError: a signal stopped the run; the same command continues.
    """
    from lmcraft.evaluation.catalog import open_tasks
    from lmcraft.evaluation.run import open_method
    from lmcraft.folder.output import claim_folder
    from lmcraft.model_source import open_model
    from lmcraft.reports.comparison import write_comparison
    from lmcraft.terminal import line_printer, print_result

    config = config.resolved()
    tasks = {task.name: task for task in open_tasks(config.tasks)}
    methods = {name: open_method(task, config.limit) for name, task in tasks.items()}
    for task in _prompt_tasks(config, chat=False):
        open_method(task)
    with ExitStack() as stack:
        sources = [stack.enter_context(open_model(address)) for address in config.models]
        contestants = _open_contestants(config, sources)
        out = config.out or Path("comparisons") / _folder_name(contestants)
        stack.enter_context(claim_folder(out, lambda: _check_output(config, out, contestants)))
        for contestant in contestants.values():
            contestant.run(config, tasks)
        comparison = _compare(config, methods, contestants)
        page = write_comparison(out, comparison)
    print_result(*_tables(comparison))
    line_printer()(f"page: {page}")
    return comparison


@dataclass
class Contestant:
    """A model that is compared, and its results."""

    name: str
    address: str
    source: ModelSource
    evaluation: Evaluation
    results: dict[str, TaskResult] = field(default_factory=dict)
    """By the name of the task."""
    answers: dict[str, str] = field(default_factory=dict)
    """By the prompt."""
    notes: list[str] = field(default_factory=list)
    """Why it could not do a task, one sentence each."""

    def run(self, config: CompareConfig, tasks: Mapping[str, Task]) -> None:
        """Evaluate what is missing."""
        from lmcraft.energy.record import ENERGY_FILE
        from lmcraft.energy.recording import recording_energy
        from lmcraft.folder.lock import lock_folder

        folder = self.evaluation.folder
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, wait=False), recording_energy(folder / ENERGY_FILE, "compare") as energy:
            evaluation = replace(self.evaluation, count_items=energy.count)
            for name, task in tasks.items():
                try:
                    self.results[name] = run_task(evaluation, task, config.limit, f"{self.name}: {name}")
                except UserError as error:
                    self.notes.append(f"model '{self.name}' cannot do task '{name}': {error}")
            if self.evaluation.model.language_model is not None:  # no classifier
                self._answer(config, evaluation)

    def _answer(self, config: CompareConfig, evaluation: Evaluation) -> None:
        """Answer the prompts."""
        from lmcraft.evaluation.run import open_method

        chat = self.source.tokenizer.chat_template is not None
        for task in _prompt_tasks(config, chat=chat):
            items = run_task(evaluation, task, 0, f"{self.name}: {task.name}").items
            method = open_method(task)
            for row, item in zip(method.rows, items, strict=True):
                self.answers[method.prompt(row)] = method.answer_text(row, item)


def _open_contestants(config: CompareConfig, sources: Sequence[ModelSource]) -> dict[str, Contestant]:
    """The models by the last parts of their addresses; where these are equal, by the whole addresses.

    Raises:
        UserError: two of them are the same.
    """
    counts = Counter(map(_last_part, config.models))
    contestants: dict[str, Contestant] = {}
    for address, source in zip(config.models, sources, strict=True):
        evaluation = build_evaluation(source, config, results_folder(address, source))
        for other in contestants.values():
            if other.evaluation.fingerprint == evaluation.fingerprint:
                raise UserError(f"'{other.address}' and '{address}' are the same model: name different ones")
        name = _last_part(address) if counts[_last_part(address)] == 1 else address
        contestants[name] = Contestant(name, address, source, evaluation)
    return contestants


def _last_part(address: str) -> str:
    path = expand_user(address)
    return path.resolve().name if path.exists() else address.rpartition("/")[2]


def _folder_name(names: Mapping[str, Any]) -> str:
    return re.sub(r"[^\w.-]+", "-", "-".join(names)).strip("-.")[:MAX_FOLDER_NAME_CHARACTERS] or "models"


def _check_output(config: CompareConfig, out: Path, contestants: Mapping[str, Contestant]) -> None:
    """A comparison of the same models is brought up to date; one of others is replaced only with `overwrite`."""
    from lmcraft.folder.output import COMPARISON, check_output
    from lmcraft.folder.recognition import compared_models

    inputs = [part for contestant in contestants.values() for part in contestant.source.inputs]
    is_same = compared_models(out) == {contestant.evaluation.fingerprint for contestant in contestants.values()}
    check_output(out, COMPARISON, overwrite=config.overwrite or is_same, inputs=inputs)


def _prompt_tasks(config: CompareConfig, *, chat: bool) -> list[Task]:
    """The default prompts, and those of the user."""
    from lmcraft.evaluation.prompts import DEFAULT_PROMPTS, prompt_task

    files = [DEFAULT_PROMPTS, *([config.prompts] if config.prompts else [])]
    return [prompt_task(file, chat=chat, max_new_tokens=config.max_new_tokens) for file in files]


def _compare(config: CompareConfig, methods: Mapping[str, Method], contestants: Mapping[str, Contestant]) -> ModelComparison:
    """Everything that the page shows.

    Raises:
        UserError: no task can be compared.
    """
    import torch

    from lmcraft.evaluation.comparison import compare_tasks
    from lmcraft.machine import choose_device, machine_name

    results = {
        task: {name: contestant.results[task] for name, contestant in contestants.items() if task in contestant.results}
        for task in methods
    }
    tasks, uncompared = compare_tasks(methods, results)
    notes = [note for contestant in contestants.values() for note in contestant.notes]
    if not tasks:
        raise UserError(next(iter([*notes, *uncompared])))
    first = next(iter(contestants.values())).evaluation
    scored = {name: value for name, value in first.settings.items() if name != "temperature"}  # that of a classifier
    return ModelComparison(
        models=_describe_models(config, contestants),
        settings={**scored, "limit": config.limit},
        machine=machine_name(torch.device(choose_device(config.device))),
        tasks=tasks,
        answers=_collect_answers(contestants),
        notes=[*notes, *uncompared],
    )


def _describe_models(config: CompareConfig, contestants: Mapping[str, Contestant]) -> dict[str, ComparedModel]:
    from lmcraft.evaluation.prompts import DEFAULT_PROMPTS

    text = DEFAULT_PROMPTS.read_text(encoding="utf-8")
    speeds = _measure_speeds(contestants, text) if config.speeds else {}
    return {name: _describe(contestant, text, speeds.get(name)) for name, contestant in contestants.items()}


def _measure_speeds(contestants: Mapping[str, Contestant], text: str) -> dict[str, Speed]:
    """The speed of each model that writes text."""
    from lmcraft.evaluation.speed import measure_speeds
    from lmcraft.terminal import progress_bar

    models = {name: contestant.evaluation.model.language_model for name, contestant in contestants.items()}
    with progress_bar("speeds") as report:
        return measure_speeds({name: model for name, model in models.items() if model is not None}, text, report)


def _describe(contestant: Contestant, text: str, speed: Speed | None) -> ComparedModel:
    from lmcraft.evaluation.compared import ComparedModel

    source = contestant.source
    transformer = source.build_empty()
    return ComparedModel(
        address=source.address,
        hash=contestant.evaluation.fingerprint,
        parameters=transformer.num_parameters(),
        weight_bytes=source.weight_bytes,
        vocabulary=source.tokenizer.vocab_size,
        context=transformer.config.max_position_embeddings,
        bytes_per_token=len(text.encode()) / len(source.tokenizer.encode(text)),
        speed=speed,
    )


def _collect_answers(contestants: Mapping[str, Contestant]) -> list[Answered]:
    """The answers to each prompt; a classifier has none."""
    from lmcraft.evaluation.compared import Answered

    answers = {name: contestant.answers for name, contestant in contestants.items() if contestant.answers}
    prompts = next(iter(answers.values()), {})
    return [Answered(prompt, {name: answers[name][prompt] for name in answers}) for prompt in prompts]


def _tables(comparison: ModelComparison) -> list[RenderableType]:
    from lmcraft.reports.comparison import describe_speeds, model_table, short_table, speed_table, summarize
    from lmcraft.terminal import column_table

    first = next(iter(comparison.models))
    tables: list[RenderableType] = [
        column_table(f"Differences from {first}, on the same items", *short_table(comparison)),
        column_table("Models", *model_table(comparison)),
    ]
    if describe_speeds(comparison):
        tables += [column_table("Speeds", *speed_table(comparison)), describe_speeds(comparison)]
    return [*tables, summarize(comparison), *(f"{note}." for note in comparison.notes)]
