"""Build, time and train a family of small runs and the larger run that they predict."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from lmcraft.data.loader import TokenSplit
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.evaluation.in_training import RunTasks
from lmcraft.evaluation.task import Task
from lmcraft.folder import ModelFolder, write_text
from lmcraft.folder.names import FAMILY_CONFIG, FAMILY_RUNS
from lmcraft.folder.output import check_apart, check_folder_name, claim_folder, is_empty
from lmcraft.json_lines import read_json_lines
from lmcraft.machine import choose_machine
from lmcraft.model.transformer import Transformer
from lmcraft.pretraining.config import SINGLE_RUN_SETTINGS, PretrainConfig, ScalingConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.pretraining.run_data import fingerprint
from lmcraft.pretraining.scaling_law import Point
from lmcraft.terminal import PrintLine, format_duration
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training import depth_rule
from lmcraft.training.checkpoint import Checkpoints, refuse_foreign
from lmcraft.training.continuation import MAY_CHANGE, check_contents, refuse_changes
from lmcraft.training.costs import seconds_per_step

CHECKPOINTS_PER_RUN = 10  # unless `save_every` is given
MAX_EPOCHS = 4  # up to this many, repeated text teaches nearly as much as new text (arXiv 2305.16264)
FAMILY_SETTINGS = ("depths", "tokens_per_parameter", "predict")  # which a resumed family may change
MAY_CHANGE_IN_FAMILY = MAY_CHANGE.union(FAMILY_SETTINGS, ("task_limit",))
OWN_SETTINGS = (*SINGLE_RUN_SETTINGS, *FAMILY_SETTINGS, "out", "resume")  # of each run, or of the family alone


@dataclass(frozen=True)
class Member:
    """One run of a family, before it is trained."""

    config: PretrainConfig
    """Resolved."""
    parameters: int
    embedding_parameters: int

    @property
    def tokens(self) -> int:
        return self.config.max_steps * self.config.batch_size * self.config.sequence_length

    @property
    def depth(self) -> int:
        return self.config.model.num_hidden_layers

    @property
    def folder(self) -> ModelFolder:
        return ModelFolder(self.config.out)

    @property
    def name(self) -> str:
        return f"{self.depth} blocks, {self.parameters:,} parameters, {self.tokens:,} tokens"

    def loss(self) -> float | None:
        """The validation loss after the last step; None if the run is not finished.

        Raises:
            UserError: the run is finished, but its losses are missing or damaged.
        """
        if not self.folder.report.is_file():  # the last file that a run writes
            return None
        rows = [row for row in read_json_lines(self.folder.metrics, step=int) if "validation_loss" in row]
        losses = [row["validation_loss"] for row in rows if row["step"] == self.config.max_steps]
        if not losses and Checkpoints(self.folder).steps()[-1:] == [self.config.max_steps]:
            raise UserError(
                f"'{self.folder.metrics}' lacks the validation loss of step {self.config.max_steps}, the last: restore the "
                f"file from a copy, or remove '{self.folder.path}' to train this run again"
            )
        return losses[-1] if losses else None

    def point(self, loss: float) -> Point:
        return Point(self.depth, self.parameters, self.embedding_parameters, self.tokens, loss)


@dataclass(frozen=True)
class Family:
    """The small runs, and the larger one that they predict."""

    config: ScalingConfig
    """Resolved."""
    members: Sequence[Member]
    target: Member

    @classmethod
    def build(cls, config: ScalingConfig) -> "Family":
        """The family of a resolved configuration."""
        lengths = config.tokens_per_parameter
        members = [build_member(config, depth, length) for depth in config.depths for length in lengths]
        return cls(config, members, build_member(config, config.predict, lengths[-1]))

    @contextmanager
    def claim_folder(self) -> Iterator[None]:
        """Lock `out`, and write scaling.toml.

        Raises:
            UserError: `out` holds anything but the family to resume, or another process is writing there.
        """
        with claim_folder(self.config.out, self._check_folder):
            write_text(self.config.out / FAMILY_CONFIG, replace(self.config, resume=False).to_toml())
            yield

    def _check_folder(self) -> None:
        config, file = self.config, self.config.out / FAMILY_CONFIG
        check_apart(config.out, [("dataset", config.data)])
        check_folder_name(config.out)
        if config.out.exists() and not file.exists() and not is_empty(config.out):
            raise UserError(f"out='{config.out}' is not an empty folder, and holds no family: choose another --out")
        if file.exists() and not config.resume:
            raise UserError(
                f"out='{config.out}' already holds a family: add --resume to continue it, or choose another --out"
            )
        if config.resume:
            if not file.exists():
                raise UserError(f"resume=true, but out='{config.out}' holds no {FAMILY_CONFIG}: leave --resume out to start")
            refuse_changes(
                config,
                ScalingConfig.from_toml(file),
                f"the runs in '{config.out}'",
                "resume with the same settings, or choose another --out",
                may_change=MAY_CHANGE_IN_FAMILY,
            )
            contents = {"data": fingerprint(config)}
            for member in (*self.members, self.target):
                refuse_foreign(member.folder)
                if steps := Checkpoints(member.folder).steps():
                    check_contents(member.folder, steps[-1], member.config, contents)

    def open_tasks(self) -> list[Task]:
        """The tasks, of which each item fits the models.

        Raises:
            UserError: there is no such task, or a row of it cannot be used or needs too much context.
            RunError: a download failed.
        """
        config = self.config
        if not config.tasks:
            return []
        tasks = RunTasks.open(config.tasks, config.task_limit, self.target.config.model, Tokenizer.load(config.data))
        return [method.task for method in tasks.methods]

    def announce(self, print_line: PrintLine) -> None:
        """Print the number of runs and tokens, and the time, estimated from a few steps of each size."""
        config, members = self.config, [*self.members, self.target]
        unfinished = [member for member in members if member.loss() is None]
        tokens = sum(member.tokens for member in unfinished)
        print_line(f"{len(unfinished)} of {len(members)} runs to train, {tokens:,} tokens in all")
        if not unfinished:
            return
        seconds, speeds = 0.0, dict[int, float]()
        for member in unfinished:
            run = member.config
            if member.depth not in speeds:
                speeds[member.depth] = _measure_tokens_per_second(run)
                print_line(f"{member.depth} blocks, {member.parameters:,} parameters: {speeds[member.depth]:,.0f} tokens/s")
            validations = -(-run.max_steps // run.eval_every)
            seconds += (member.tokens + validations * run.eval_tokens / 3) / speeds[member.depth]
        print_line(f"about {format_duration(seconds)}, starting at {time.strftime('%H:%M')}; Ctrl-C saves and stops")
        epochs = max(member.tokens for member in members) / len(TokenSplit(config.data, "train"))
        if epochs > MAX_EPOCHS:
            print_line(f"the longest run has {epochs:.1f} epochs; above {MAX_EPOCHS}, repeated text bends the scaling law")

    def train(self, member: Member, train: Callable[[PretrainConfig], object], print_line: PrintLine) -> Point:
        """The point of a run; `train` trains or resumes it unless it is finished.

        Raises:
            InterruptedRunError: a signal stopped the run.
        """
        if (loss := member.loss()) is not None:
            return member.point(loss)
        members = [*self.members, self.target]
        label = f"run {members.index(member) + 1} of {len(members)}"
        print_line(f"\n== {label}: {member.name}")
        command = f"continue with: lmcraft scaling {self.config.out / 'scaling.toml'} --resume"
        run = member.config
        if Checkpoints(member.folder).steps():
            run = replace(PretrainConfig.from_toml(member.folder.config_toml), data=run.data, out=run.out, resume=True)
        try:
            train(run)
        except KeyboardInterrupt as error:  # the second signal
            raise KeyboardInterrupt(f"stopped at once in {label}; {command}") from error
        except InterruptedRunError as error:
            signal_number = error.exit_status - 128
            raise InterruptedRunError(f"stopped by a signal in {label}, and saved; {command}", signal_number) from error
        loss = member.loss()
        assert loss is not None, member.folder
        return member.point(loss)


def _measure_tokens_per_second(config: PretrainConfig) -> float:
    machine = choose_machine(config.device, config.precision)
    with TemporaryDirectory() as temporary:
        run = PretrainingRun.open(config, machine, ModelFolder(Path(temporary))).autotuned(str)
        return config.batch_size * config.sequence_length / seconds_per_step(run.build_trainer())


def build_member(config: ScalingConfig, depth: int, tokens_per_parameter: float) -> Member:
    """Build the run of a number of blocks and a number of tokens per parameter."""
    shared = {f.name: getattr(config, f.name) for f in fields(PretrainConfig) if f.name not in OWN_SETTINGS}
    width = config.model.hidden_size or config.width_per_depth * depth
    heads = max(1, width // (config.model.head_dim or depth_rule.HEAD_DIM))
    if not config.model.head_dim:  # rotary embeddings need heads of an even width
        heads = next(n for n in range(heads, 0, -1) if width % (2 * n) == 0)
    if not config.evaluate_every:
        shared["tasks"] = ()
    shared["model"] = replace(config.model, hidden_size=width, num_attention_heads=config.model.num_attention_heads or heads)
    out = config.out / FAMILY_RUNS / f"depth-{depth}-{tokens_per_parameter:g}x"
    single = PretrainConfig(**shared, depth=depth, out=out, max_steps=1)
    with torch.device("meta"):
        model = Transformer(single.resolved().model)
    parameters = model.num_parameters()
    tokens = max(1, int(tokens_per_parameter * parameters))
    # Unlike in pretrain, not rounded to a power of two: each doubling would move the losses off the law by a few percent.
    rows = config.batch_size or max(1, round(depth_rule.batch_tokens(tokens) / config.sequence_length))
    run = replace(single, max_steps=0, max_tokens=tokens, batch_size=rows).resolved()
    run = replace(
        run,
        eval_every=config.eval_every or run.max_steps,
        save_every=config.save_every or -(-run.max_steps // CHECKPOINTS_PER_RUN),
        sample_every=config.sample_every or run.max_steps,
    )
    return Member(run, parameters, parameters - model.num_parameters(embeddings=False))
