"""A pretraining run: open the data, autotune, build the trainer and train."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lmcraft.data.canaries import Canaries
from lmcraft.data.loader import check_dataset
from lmcraft.errors import UserError
from lmcraft.evaluation.in_training import RunTasks
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import dataset_origin, write_lineage
from lmcraft.machine import Machine, choose_machine, hardware
from lmcraft.model.initialization import initialize
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.pretraining.objectives.registry import build_objective
from lmcraft.pretraining.run_data import RunData, fingerprint
from lmcraft.terminal import PrintLine
from lmcraft.training.account import RunAccount
from lmcraft.training.autotune import Autotuned, autotune
from lmcraft.training.checkpoint import Checkpoints, step_to_resume
from lmcraft.training.compilation import compile_ahead, compile_blocks
from lmcraft.training.config import TrainConfig
from lmcraft.training.continuation import (
    INTERVALS,
    check_contents,
    check_length,
    check_tasks,
    continue_config,
    planned_intervals,
    record_start,
)
from lmcraft.training.costs import Costs, measure_costs
from lmcraft.training.dp.checks import check_settings
from lmcraft.training.dp.run import PrivateRun, open_private_run
from lmcraft.training.dp.units import DocumentUnits
from lmcraft.training.length import Length, Planner, with_length
from lmcraft.training.loop import Trainer
from lmcraft.training.objective import NextToken
from lmcraft.training.processes import Processes
from lmcraft.training.range_test import RangeTest, range_test
from lmcraft.training.sharding import unsharded_copy
from lmcraft.training.task_scores import TaskScores

SAMPLE_TOKENS = 80


@dataclass(frozen=True)
class PretrainingRun:
    """The configuration, data and machine of a run, before its model is built."""

    config: PretrainConfig
    """Resolved."""
    data: RunData
    machine: Machine
    folder: ModelFolder
    """Output folder."""
    processes: Processes = field(default_factory=Processes)
    account: RunAccount = field(default_factory=RunAccount)
    """What the command draws, and the budget of the run."""
    first_step: int = 0
    """The steps that a resumed run has done."""
    tasks: RunTasks | None = None
    """What the weights are evaluated on during training."""
    private: PrivateRun | None = None
    """What makes it private, once its length is known; None: nothing yet."""
    planned: Mapping[str, int] | None = None
    """The intervals before `autotuned`, if the length of the run follows from its budget; None: it is fixed."""

    @classmethod
    def open(
        cls, config: PretrainConfig, machine: Machine, folder: ModelFolder, processes: Processes | None = None
    ) -> "PretrainingRun":
        """Open the data and the tasks of a resolved configuration.

        Raises:
            UserError: a split or shard is missing, or a task cannot be used or does not fit the model.
        """
        data = RunData.open(config)
        tasks = RunTasks.open(config.tasks, config.task_limit, config.model, data.tokenizer) if config.tasks else None
        account = RunAccount()
        account.set_limit(config)
        return cls(config, data, machine, folder, processes or Processes(), account, tasks=tasks)

    @property
    def objective(self) -> NextToken:
        mesh = self.processes.mesh["tensor"] if self.processes.mesh and self.processes.tensor_count > 1 else None
        return replace(build_objective(self.config).build_loss(), tensor_mesh=mesh)

    def autotuned(self, print_line: PrintLine) -> "PretrainingRun":
        """The same run with attention, compilation, length and micro-batch chosen (`lmcraft.training.autotune`).

        Raises:
            UserError: a single row does not fit in memory.
        """
        choices = self.autotune(print_line)
        config = choices.apply(self.config, self.config.sequence_length)
        if self.config.max_steps:
            return replace(self, config=config)
        planned = self.planned or {name: getattr(self.config, name) for name in INTERVALS} | dict(choices.intervals)
        return replace(self, config=config, planned=planned)

    def autotune(self, print_line: PrintLine) -> Autotuned:
        """The choices that `autotuned` applies."""
        return autotune(
            self.config,
            self.config.model,
            replace(self.objective, tensor_mesh=None),
            self.data.training_rows(self.config),
            self.machine,
            self.processes,
            print_line,
            document_mask=self.config.document_mask,
            account=self.account,
            first_step=self.first_step,
            measure=self._measure,
        )

    def _measure(self, config: PretrainConfig) -> Costs:
        with TemporaryDirectory() as folder:
            return replace(self, config=config, folder=ModelFolder(Path(folder))).measure_costs()

    def with_privacy(self, step: int | None) -> "PretrainingRun":
        """The same run with its mechanism, if it has a privacy budget.

        Args:
            step: that the run continues after; None: a new run.

        Raises:
            UserError: the budget does not pay for a step, or a setting does not fit the data.
        """
        units = self.data.training_rows(self.config)
        if not isinstance(units, DocumentUnits):
            return self
        config, private = open_private_run(self.config, units, "document", self.folder, step)
        return replace(self, config=config, private=private)

    def measure_costs(self) -> Costs:
        """Measure a few micro-batches, a short validation, a few items of the tasks, a sample and a checkpoint."""
        config, tasks = self.config, self.tasks
        short = replace(
            config, eval_tokens=min(config.eval_tokens, max(1, config.micro_batch_size) * config.sequence_length)
        )
        few = None if tasks is None else tasks.few_items()
        costs = measure_costs(replace(self, config=short, tasks=few).build_trainer())
        if tasks is None or few is None:
            return costs
        return replace(costs, tasks=costs.tasks.scaled(tasks.num_items / few.num_items))

    def build_trainer(self, step: int | None = None) -> Trainer:
        """Build the run's trainer, at the start or at the checkpoint of a step.

        Settings that `autotuned` has not chosen get their simplest value: one micro-batch, no compilation.
        """
        torch.manual_seed(self.config.seed)
        model, private, units = self._build_model(step), self.private, self.data.training_rows(self.config)
        if private is None and isinstance(units, DocumentUnits):
            private = PrivateRun.stand_in(self.config, units)
        trainer = Trainer(
            model,
            self.objective,
            units,
            self.data.validation,
            self.config,
            self.machine,
            self.folder,
            snapshot=lambda model: self._language_model(unsharded_copy(model)).save_files,
            sample=self._sample,
            bytes_per_token=self.data.bytes_per_token,
            processes=self.processes,
            validation_sources=self.data.validation_sources,
            holdout=self.data.holdout,
            score_tasks=self._score_tasks if self.tasks else None,
            width_ratio=self.config.width_ratio,
            account=self.account,
            planner=Planner(self.account.budget, self.processes, self._change_length) if self.is_planned_again else None,
            private=private,
        )
        if step is not None:
            trainer.restore(step)
        return trainer

    @property
    def is_planned_again(self) -> bool:
        """Whether the length of the run changes with the speed of its steps."""
        return self.planned is not None and self.data.is_readable_at_any_length

    def _change_length(self, config: TrainConfig, length: Length) -> TrainConfig:
        """The settings of the run with another length, and the intervals that follow from it."""
        return with_length(config, length, self.planned or {}, self.config.sequence_length)

    def _build_model(self, step: int | None) -> Transformer:
        config = self.config
        if step is None:
            model = Transformer(config.model).to(self.machine.device)
            initialize(model, config.init, config.width_ratio)
        else:
            model = load_model(Checkpoints(self.folder).path(step), device=self.machine.device)
        model.compute_dtype, model.checkpointing = self.machine.dtype, config.activation_checkpointing
        model.use_attention(config.attention)
        if config.compile == "on":
            compile_blocks(model)
        return model

    def _language_model(self, transformer: Transformer) -> LanguageModel:
        """The model as it is saved: it writes no marks."""
        marks = self.data.marks
        banned = () if marks is None else (marks.good, marks.bad)
        return LanguageModel(transformer, self.data.tokenizer, GenerationConfig(suppress_tokens=banned))

    def _sample(self, transformer: Transformer) -> str:
        """Generate a text, with a separate random generator so that the run's random numbers do not change."""
        model = self._language_model(transformer.eval())
        prompt = self.config.sample_prompt
        if not prompt and model.tokenizer.eos_token_id is None:
            prompt = "\n"  # a tokenizer without a token between documents has no other start
        return prompt + model.complete(prompt, max_new_tokens=SAMPLE_TOKENS, temperature=0.8, top_p=0.95, seed=1)

    def _score_tasks(self, transformer: Transformer, should_stop: Callable[[], bool]) -> TaskScores | None:
        assert self.tasks is not None
        whole = unsharded_copy(transformer) if self.processes.mesh else transformer
        model = self._language_model(whole)
        return self.tasks.score(model, should_stop) if self.processes.is_main else None


def run_pretraining(
    config: PretrainConfig,
    processes: Processes,
    print_line: PrintLine,
    account: RunAccount | None = None,
    canaries: Canaries | None = None,
) -> ModelFolder:
    """Train, and write a model folder with the weights of the lowest validation loss.

    Args:
        config: as it was given, not yet resolved.
        processes: the processes of the run.
        print_line: prints a line of progress.
        account: of the run, from the start of the command; None: it starts now.
        canaries: in place of those that the run draws itself.

    Raises:
        UserError: the configuration cannot run; `out` already holds a run and `resume` is false, or it holds one that these
            settings do not continue.
        InterruptedRunError: a signal stopped the run; resume continues it exactly.
        RunError: the loss is not a number, the disk is full, or another process of the run was lost.
    """
    account, folder = account or RunAccount(), ModelFolder(config.out)
    step = step_to_resume(folder, resume=config.resume)
    contents = {"data": fingerprint(config)}
    if step is not None:
        check_contents(folder, step, config, contents)
    config = config.resolved() if step is None else continue_config(config, folder, step, "pretrain")
    with processes.in_main(_checked_dataset(config.data)):
        pass
    account.open(folder, step, config, processes)
    run = _open_run(config, folder, processes, print_line, canaries)
    tasks = run.tasks.hashes() if run.tasks else {}
    if step is not None:
        check_tasks(folder, config, tasks)
    planned = None if step is None else planned_intervals(folder, config)
    run = replace(run, account=account, first_step=step or 0, planned=planned).autotuned(print_line).with_privacy(step)
    config = run.config
    if config.max_steps > (step or 0):
        account.check_left(config, processes.agree(account.budget.left()))
    check_length(config, step, folder)
    run.data.check_length(config)
    trainer = run.build_trainer(step)
    if sentence := record_start(config, folder, step, processes, contents, tasks, run.planned):
        print_line(sentence)
    if run.private:
        print_line(run.private.start(folder, step))
    machine, parameters = hardware(run.machine.device, processes.count), trainer.model.num_parameters()
    account.start(trainer.progress, config.max_steps, machine=machine, parameters=parameters)
    if config.compile == "on":
        print_line(compile_ahead(trainer))
    if processes.is_main and step is None:
        run.data.write_canaries(config)
    for sentence in _describe(run, parameters):
        print_line(sentence)
    progress = trainer.run()
    if processes.is_main:
        _write_lineage(run)
    print_line(f"best validation loss {progress.best_loss:.4f} at step {progress.best_step}; the model is in {folder.path}")
    return folder


def _describe(run: PretrainingRun, parameters: int) -> list[str]:
    config, data = run.config, run.data
    tokens = config.max_steps * config.batch_size * config.sequence_length
    size = (
        f"{parameters:,} parameters, {tokens:,} tokens in {config.max_steps} steps of {config.batch_size} x "
        f"{config.sequence_length}; the training text has {data.training_tokens:,} tokens"
    )
    return [size, *data.describe_mixture(config)]


def _write_lineage(run: PretrainingRun) -> None:
    config = run.config
    mixture = {use.source: {"share": use.share, "epochs": use.epochs} for use in run.data.uses(config)}
    without = {"without": list(config.without)} if config.without else {}
    data = [dataset_origin("training data", config.data)]
    write_lineage(run.folder, "pretrain", data=data, mixture=mixture, summary=without)


@contextmanager
def _checked_dataset(path: Path) -> Iterator[None]:
    check_dataset(DatasetFolder(path))
    yield


def find_learning_rate(
    config: PretrainConfig, processes: Processes, print_line: PrintLine
) -> tuple[RangeTest, dict[str, float]]:
    """Run the learning-rate range test; returns its curve and the run's learning rates by name.

    Raises:
        UserError: the configuration cannot run.
        RunError: the loss diverges within a few steps.
    """
    run = _open_run(config, ModelFolder(config.out), processes, print_line).autotuned(print_line)
    run = replace(run, config=replace(run.config, compile="off"))  # too short for compiling to pay
    rates = {name: rate for name, rate in asdict(config.optimizer).items() if name.endswith("learning_rate")}
    return range_test(run.build_trainer()), rates


def _open_run(
    config: PretrainConfig,
    folder: ModelFolder,
    processes: Processes,
    print_line: PrintLine,
    canaries: Canaries | None = None,
) -> PretrainingRun:
    """Open the run of a configuration on this machine."""
    if config.batch_size % processes.data_count:
        raise UserError(
            f"batch_size={config.batch_size} must be a multiple of the {processes.data_count} processes that share it: "
            "change one of them"
        )
    if config.dp.epsilon:
        check_settings(config, processes)
        config = replace(config, compile="off")
    machine = processes.agree(choose_machine(config.device, config.precision))
    config = replace(config, precision=machine.precision)
    print_line(f"computing in {machine.description}")
    if processes.count > 1:
        print_line(
            f"{processes.count} processes: {processes.data_count} share the rows of a batch, "
            f"{processes.tensor_count} the work on each row"
        )
    run = PretrainingRun.open(config, machine, folder, processes)
    return replace(run, data=replace(run.data, canaries=canaries)) if canaries else run
