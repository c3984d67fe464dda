"""`lmcraft scaling`: a family of small models, the law of their loss, and its word on the next size put to the test."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Self

from cyclopts import Parameter

from lmcraft.commands.pretrain import PretrainConfig, build_trainer, pretrain
from lmcraft.config import command_config
from lmcraft.data.loader import TokenSplit
from lmcraft.errors import InterruptedRunError, UserError
from lmcraft.folder import ModelFolder, write_text
from lmcraft.reports.chart import short
from lmcraft.reports.scaling import Scaling, point_cells, write_scaling
from lmcraft.training import depth_rule
from lmcraft.training.metrics import read_jsonl
from lmcraft.training.scaling_law import Point, fit_scaling_law

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Group

EVAL_TOKENS = 2**17  # the same for every run, so that their losses can be compared
CHECKPOINTS = 10  # of each run, unless `save_every` is given
MOST_EPOCHS = 4  # up to these, text that is read again teaches nearly as much as new text (arXiv 2305.16264)
UNUSED = ("depth", "max_steps", "max_tokens", "max_time", "find_lr")
MAY_CHANGE = (*UNUSED, "out", "resume", "depths", "tokens_per_parameter", "predict")
Hidden = Parameter(show=False)
Several = Parameter(consume_multiple=True, negative="")


@command_config
@dataclass(frozen=True, kw_only=True)
class ScalingConfig(PretrainConfig):
    """Train a family of small models, fit the law of their loss, predict the next size, train that, and tell the error.

    Every run is one of `lmcraft pretrain` with the other settings here, and a model folder under OUT/runs.
    """

    out: Path = Path("models/scaling")
    """Folder to write: the runs, scaling.toml, scaling.json and scaling.html."""
    depths: Annotated[tuple[int, ...], Several] = (2, 3, 4)
    """Numbers of blocks of the family's models. One block alone learns in another way (arXiv 2209.11895)."""
    width_per_depth: int = 16
    """Width of a model for each of its blocks. The rule of pretrain has 64: this family is to be trained in minutes."""
    tokens_per_parameter: Annotated[tuple[float, ...], Several] = (5.0, 10.0, 20.0)
    """Lengths of the runs of each model; each is a run of its own, with its own decay of the learning rate."""
    predict: int = 0
    """Number of blocks of the model to predict, trained for the longest length; 0: one more than the family's largest."""

    depth: Annotated[int, Hidden] = 0
    max_steps: Annotated[int, Hidden] = 0
    max_tokens: Annotated[int, Hidden] = 0
    max_time: Annotated[float, Hidden] = 0.0
    find_lr: Annotated[bool, Hidden] = False

    def resolved(self) -> Self:
        """The family in order, and what all of its runs share: the length of rows, the validation text."""
        for name in UNUSED:
            if value := getattr(self, name):
                raise UserError(f"{name}={value} is a single run's: --depths and --tokens-per-parameter say the family's")
        depths, lengths = tuple(sorted(self.depths)), tuple(sorted(self.tokens_per_parameter))
        predict = self.predict or max(depths, default=0) + 1
        self._check_family(depths, lengths, predict)
        tokens = len(TokenSplit(self.data, "validation")) - 1
        return replace(
            self,
            depths=depths,
            tokens_per_parameter=lengths,
            predict=predict,
            sequence_length=self.sequence_length
            or self.model.max_position_embeddings
            or depth_rule.sequence_length_for(predict),
            eval_tokens=self.eval_tokens or min(EVAL_TOKENS, tokens),
        )

    def _check_family(self, depths: tuple[int, ...], lengths: tuple[float, ...], predict: int) -> None:
        if len(set(depths)) < max(3, len(depths)) or depths[0] < 1:
            raise UserError(f"depths={_spaced(depths)} must be at least three different numbers from 1 on")
        if len(set(lengths)) < max(2, len(lengths)) or not 0 < lengths[0] <= lengths[-1] < float("inf"):
            raise UserError(f"tokens_per_parameter={_spaced(lengths)} must be at least two different positive numbers")
        if predict <= depths[-1]:
            raise UserError(f"predict={predict} must be more than {depths[-1]}, the family's largest of --depths")
        if self.width_per_depth < 16 or self.width_per_depth % 16:
            raise UserError(f"width_per_depth={self.width_per_depth} must be a multiple of 16")
        if self.model.num_hidden_layers:
            raise UserError(
                f"model.num_hidden_layers={self.model.num_hidden_layers} makes all models equal: give --depths alone"
            )


@dataclass(frozen=True)
class Member:
    """One run, before it is made."""

    config: PretrainConfig
    """Resolved."""
    parameters: int
    embedding_parameters: int

    @property
    def tokens(self) -> int:
        return self.config.max_steps * self.config.batch_size * self.config.sequence_length

    @property
    def folder(self) -> ModelFolder:
        return ModelFolder(self.config.out)

    @property
    def name(self) -> str:
        return f"{self.config.depth} blocks, {self.parameters:,} parameters, {self.tokens:,} tokens"

    def loss(self) -> float | None:
        """The validation loss after the last step; None if the run is not finished."""
        if not self.folder.report.is_file():  # the last thing that a run writes
            return None
        rows = [row for row in read_jsonl(self.folder.metrics) if "validation_loss" in row]
        return next((row["validation_loss"] for row in rows if row["step"] == self.config.max_steps), None)

    def point(self, loss: float) -> Point:
        return Point(self.config.depth, self.parameters, self.embedding_parameters, self.tokens, loss)


def scaling(config: ScalingConfig) -> Scaling:
    """Train the family, fit, predict, train the predicted run, and show the error; finished runs are not made again.

    Raises:
        UserError: the configuration cannot run, or `out` holds a family that is not resumed or has other settings.
        InterruptedRunError: a signal asked for a stop; resume goes on exactly there.
        RunError: a run's loss is not a number, or the disk is full.
    """
    from rich.console import Console

    config = config.resolved()
    family = [member_of(config, depth, length) for depth in config.depths for length in config.tokens_per_parameter]
    target = member_of(config, config.predict, config.tokens_per_parameter[-1])
    _claim(config)
    say = partial(Console(stderr=True, highlight=False).print, markup=False, soft_wrap=True)
    _announce(config, [*family, target], say)
    points = []
    for number, member in enumerate(family, 1):
        points.append(_trained(config, member, f"run {number} of {len(family) + 1}", say))
    found = Scaling(points, fit_scaling_law(points), target.point(float("nan")))
    write_scaling(config.out, found)  # so that the prediction is on the disk before its run begins
    say(f"{found.sentence()}\n{found.trust()}")
    found = replace(found, target=_trained(config, target, f"run {len(family) + 1} of {len(family) + 1}", say))
    page = write_scaling(config.out, found)
    Console(highlight=False).print(_tables(found))
    print(page)
    return found


def member_of(config: ScalingConfig, depth: int, length: float) -> Member:
    """The run of `depth` blocks and `length` tokens for each parameter."""
    import torch

    from lmcraft.model.transformer import Transformer

    shared = {f.name: getattr(config, f.name) for f in fields(PretrainConfig) if f.name not in MAY_CHANGE}
    width = config.model.hidden_size or config.width_per_depth * depth
    heads = max(1, width // (config.model.head_dim or depth_rule.HEAD_DIM))
    if not config.model.head_dim:  # no head of an odd width
        heads = next(n for n in range(heads, 0, -1) if width % (2 * n) == 0)
    shared["model"] = replace(config.model, hidden_size=width, num_attention_heads=config.model.num_attention_heads or heads)
    single = PretrainConfig(**shared, depth=depth, out=config.out / "runs" / f"depth-{depth}-{length:g}x", max_steps=1)
    with torch.device("meta"):
        model = Transformer(single.resolved().model)
    parameters = model.num_parameters()
    tokens = max(1, int(length * parameters))
    # Not the power of two that pretrain takes: where that doubles, the losses leave the law by some percent.
    rows = config.batch_size or max(1, round(depth_rule.batch_tokens(tokens) / config.sequence_length))
    run = replace(single, max_steps=0, max_tokens=tokens, batch_size=rows).resolved()
    run = replace(
        run,
        eval_every=config.eval_every or run.max_steps,
        save_every=config.save_every or -(-run.max_steps // CHECKPOINTS),
        sample_every=config.sample_every or run.max_steps,
    )
    return Member(run, parameters, parameters - model.num_parameters(embeddings=False))


def _claim(config: ScalingConfig) -> None:
    """Write scaling.toml, unless the folder holds a family that this one does not go on with."""
    file = config.out / "scaling.toml"
    if file.exists() and not config.resume:
        raise UserError(f"out='{config.out}' already holds a family: add --resume to go on with it, or choose another --out")
    if config.resume:
        if not file.exists():
            raise UserError(f"resume=true, but out='{config.out}' holds no scaling.toml: leave --resume out to start")
        before, now = asdict(ScalingConfig.from_toml(file)), asdict(config)
        for name in (name for name in now if name not in MAY_CHANGE and before[name] != now[name]):
            raise UserError(
                f"{name}={now[name]} differs from the {before[name]} of the runs that '{config.out}' holds: "
                "resume with the same settings, or choose another --out"
            )
    write_text(file, replace(config, resume=False).to_toml())


def _announce(config: ScalingConfig, members: Sequence[Member], say: Callable[[str], None]) -> None:
    """Say what is to come: runs, tokens, and the time by a few steps of each size."""
    from lmcraft.machine import choose_machine

    left = [member for member in members if member.loss() is None]
    say(f"{len(left)} of {len(members)} runs are to be made, {sum(member.tokens for member in left):,} tokens in all")
    if not left:
        return
    machine = choose_machine(config.device, config.precision)
    seconds, speeds = 0.0, dict[int, float]()
    for member in left:
        run = member.config
        if run.depth not in speeds:
            with TemporaryDirectory() as temporary:
                each = build_trainer(run, machine, ModelFolder(Path(temporary))).seconds_per_step()
            speeds[run.depth] = run.batch_size * run.sequence_length / each
            say(f"{run.depth} blocks, {member.parameters:,} parameters: {speeds[run.depth]:,.0f} tokens/s")
        validations = -(-run.max_steps // run.eval_every)
        seconds += (member.tokens + validations * run.eval_tokens / 3) / speeds[run.depth]
    say(f"about {seconds / 60:.1f} minutes, from {time.strftime('%H:%M')} on; Ctrl-C saves and stops")
    epochs = max(member.tokens for member in members) / len(TokenSplit(config.data, "train"))
    if epochs > MOST_EPOCHS:
        say(f"the longest run reads the text {epochs:.1f} times: the law is of new text, so more than {MOST_EPOCHS} bend it")


def _trained(config: ScalingConfig, member: Member, number: str, say: Callable[[str], None]) -> Point:
    """The point of a run, which is made or gone on with unless it is finished."""
    from lmcraft.training.checkpoint import Checkpoints

    if (loss := member.loss()) is not None:
        return member.point(loss)
    say(f"\n== {number}: {member.name}")
    run = member.config
    if Checkpoints(member.folder.checkpoints).steps():
        run = replace(PretrainConfig.from_toml(member.folder.config_toml), out=run.out, resume=True)
    try:
        pretrain(run)
    except InterruptedRunError as error:
        signal_number = error.exit_status - 128
        again = f"continue with: lmcraft scaling {config.out / 'scaling.toml'} --resume"
        raise InterruptedRunError(f"stopped by a signal in {number}, and saved; {again}", signal_number) from error
    loss = member.loss()
    assert loss is not None, member.folder
    return member.point(loss)


def _tables(found: Scaling) -> Group:
    from rich.console import Group
    from rich.table import Table

    def table(title: str, columns: str, rows: Sequence[Sequence[str]]) -> Table:
        drawn = Table(title=title, title_justify="left")
        for column in columns.split(", "):
            drawn.add_column(column, justify="right")
        for row in rows:
            drawn.add_row(*row)
        return drawn

    columns = "blocks, parameters, tokens, loss, by the law, off by"
    runs = [point_cells(point, found.fit.law) for point in found.points]
    law = [(name, *(f"{value:.4g}" for value in values)) for name, values in found.coefficients().items()]
    best = [(short(o.flops), short(o.parameters), short(o.tokens), f"{o.loss:.4f}") for o in found.optimal]
    return Group(
        table("The family", columns, runs),
        table("L(N, D) = E + A / N^alpha + B / D^beta", "number, value, from, to", law),
        table("The best use of a budget, by the law", "operations, parameters, tokens, loss", best),
        table("The predicted run", columns, [point_cells(found.target, found.fit.law)]),
        found.sentence(),
        found.trust(),
    )


def _spaced(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
