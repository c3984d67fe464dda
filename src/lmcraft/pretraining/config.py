"""The settings of `lmcraft pretrain`, and of `plan` and `scaling`, which extend them."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from cyclopts import Parameter

from lmcraft.config import (
    ADVANCED,
    BY_DEPTH,
    DATA,
    LENGTH,
    MACHINE,
    OFF,
    OUTPUT,
    SEVERAL_VALUES,
    automatic,
    command_config,
    quantity,
    section,
)
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.quantities import Duration, EnergyAmount
from lmcraft.training import depth_rule
from lmcraft.training.config import TrainConfig
from lmcraft.training.schedule import check_schedule

# Evaluation of a family of runs: the same tokens for every run, so that their losses can be compared.
SCALING_EVAL_TOKENS = 2**17
SINGLE_RUN_SETTINGS = (
    "depth",
    "max_steps",
    "max_tokens",
    "time_budget",
    "energy_budget",
    "find_lr",
    "coordinate_check",
)  # which a family sets itself
DEFAULT_DEPTH = 4
HIDDEN = Parameter(show=False)
PretrainObjectiveName = Literal["next-token", "conditional", "filtered", "unlikelihood"]
# Settings that one objective has, with its name.
OBJECTIVE_SETTINGS: Mapping[str, PretrainObjectiveName] = {
    "mark_dropout": "conditional",
    "unlikelihood_weight": "unlikelihood",
}


@command_config
@dataclass(frozen=True)
class PretrainConfig(TrainConfig):
    """Train a Transformer from scratch on a dataset folder. Sizes, rates and lengths follow from --depth unless given."""

    data: Path
    """Dataset folder, made by `lmcraft prepare`."""

    _: KW_ONLY

    out: Path = Path("models/model")
    """Model folder to write."""
    depth: Annotated[int | None, automatic(f"{DEFAULT_DEPTH}, or --model.num-hidden-layers")] = None
    """Number of blocks; every setting left at 0 follows from it."""
    model: Annotated[TransformerConfig, section("Model")] = field(default_factory=TransformerConfig)
    init: Annotated[InitConfig, section("Initialization")] = field(default_factory=InitConfig)
    sequence_length: Annotated[int, BY_DEPTH, DATA] = 0
    """Tokens per row of a batch."""
    batch_size: Annotated[int, automatic("set by the length of the run"), LENGTH] = 0
    """Rows per step."""
    max_steps: Annotated[int, automatic("set by the budgets, --max-tokens or --depth"), LENGTH] = 0
    """Length of the run in steps."""
    max_tokens: Annotated[int, automatic("20 per parameter"), LENGTH] = 0
    """Length of the run in tokens."""
    eval_tokens: Annotated[int, automatic("15% of the tokens since the last one"), OUTPUT] = 0
    """Validation tokens per evaluation, from the start of the split."""
    document_mask: Annotated[bool, DATA] = True
    """Restrict attention to a token's own document when several share a row."""
    mixture: Annotated[dict[str, float], Parameter(negative=""), DATA] = field(default_factory=dict)
    """Weights of sources by name, such as --mixture.wiki 2, in place of those of the dataset's recipe (docs/mixing.md)."""
    mixture_copies: Annotated[bool, ADVANCED] = True
    """Read documents as often as the recipe's table of copies says; otherwise once in an epoch."""
    mixture_target_tokens: Annotated[int, ADVANCED, OFF] = 0
    """Length in tokens of the run that this one is a small proxy for: it reads as much less of each source, so that text is
    repeated as often, and the best weights stay the best (arXiv 2606.07597)."""
    without: Annotated[tuple[int, ...], SEVERAL_VALUES, ADVANCED, OFF] = ()
    """Training documents, by number, that the run does not read: end tokens stand in their place, and all other tokens stay
    where they are. `lmcraft forget` sets it (docs/unlearning.md)."""
    fim_rate: Annotated[float, DATA, OFF] = 0.0
    """Share of documents trained on as fill-in-the-middle, such as 0.5 (arXiv 2207.14255); data from `prepare --fim`."""
    fim_spm_rate: Annotated[float, ADVANCED] = 0.5
    """Share of those whose suffix comes first: suffix, prefix, middle; the others are prefix, suffix, middle."""
    objective: PretrainObjectiveName = "next-token"
    """What to learn from text with marks (a recipe's stage mark): next-token ignores them; conditional learns
    to write good and bad passages after their marks, and then writes after the good one; filtered learns good passages
    only; unlikelihood also makes bad ones less likely."""
    mark_dropout: Annotated[float, ADVANCED] = 0.9
    """conditional: share of the marks that training removes where they repeat the one before, as a written text has none."""
    unlikelihood_weight: Annotated[float, ADVANCED] = 1.0
    """unlikelihood: weight of the loss of bad passages."""
    label_smoothing: Annotated[float, ADVANCED, OFF] = 0.0
    """Share of the target probability that is spread over the whole vocabulary."""
    z_loss: Annotated[float, ADVANCED, OFF] = 0.0
    """Weight of log(Z)^2, which keeps the logits from drifting."""
    sample_prompt: Annotated[str, OUTPUT] = ""
    """Prompt of the samples during training; empty: the start of a document."""
    tensor_parallel: Annotated[int, MACHINE] = 1
    """Number of processes that share the work on the same rows; groups of this size share the rows of a batch (FSDP)."""

    find_lr: Annotated[bool, ADVANCED] = False
    """Instead of training, raise the learning rates for a hundred steps and plot the loss (arXiv 1506.01186)."""
    base_width: Annotated[int, ADVANCED, automatic("the model's own")] = 0
    """Width that the learning rates are for, such as that of a narrow model on which they were tuned: they and the initial
    weights are scaled to this model's width (arXiv 2203.03466; docs/search.md)."""
    coordinate_check: Annotated[tuple[int, ...], SEVERAL_VALUES, ADVANCED, OFF] = ()
    """Instead of training, plot how far a few steps move the activations of models of these widths (arXiv 2203.03466)."""

    def resolved(self) -> Self:
        """Fill in every 0 by the depth rule; the length of a run limited by a budget is left to `autotune`.

        Raises:
            UserError: a setting is invalid, or does not fit the dataset.
        """
        depth = self._choose_depth()
        lengths = ("batch_size", "micro_batch_size", "max_steps", "max_tokens", "sequence_length")
        for name in (*lengths, "base_width"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative; 0 sets it automatically")
        vocab_size = DatasetFolder(self.data).token_manifest()["vocab_size"]
        length = self.sequence_length or self.model.max_position_embeddings or depth_rule.sequence_length_for(depth)
        model = depth_rule.resolve_model(self.model, depth, vocab_size, length, self.base_width)
        model.check()
        self._check(model, vocab_size, length)
        optimizer = depth_rule.resolve_optimizer(self.optimizer, self.rates_width)
        config = replace(self, model=model, depth=depth, sequence_length=length, optimizer=optimizer)
        if (self.time_budget or self.energy_budget) and not self.max_steps:
            return config
        tokens = self.max_tokens or depth_rule.optimal_tokens(model)
        sized = depth_rule.resolve_length(config, length, tokens)
        if not self.dp.epsilon or self.batch_size:
            return sized
        documents = DatasetFolder(self.data).token_manifest()["splits"]["train"]["documents"]
        return depth_rule.resolve_length(replace(config, batch_size=min(sized.batch_size, documents)), length, tokens)

    @property
    def rates_width(self) -> int:
        """The width that the learning rates are for."""
        return self.base_width or self.model.hidden_size or depth_rule.HEAD_DIM * self._choose_depth()

    @property
    def width_ratio(self) -> float:
        """The width of the model / the width that the learning rates are for; only of a resolved configuration."""
        return self.model.hidden_size / self.base_width if self.base_width else 1.0

    def _choose_depth(self) -> int:
        """The number of blocks."""
        blocks = self.model.num_hidden_layers
        if self.depth is None:
            return blocks or DEFAULT_DEPTH
        if self.depth < 1:
            raise UserError(f"depth={self.depth} must be at least 1")
        if blocks not in (0, self.depth):
            raise UserError(f"depth={self.depth} contradicts model.num_hidden_layers={blocks}: leave one of them out")
        return self.depth

    def _check(self, model: TransformerConfig, vocab_size: int, length: int) -> None:
        if model.vocab_size < vocab_size:
            raise UserError(f"model.vocab_size={model.vocab_size} is smaller than the dataset's {vocab_size}: leave it out")
        if model.max_position_embeddings < length:
            raise UserError(
                f"model.max_position_embeddings={model.max_position_embeddings} is smaller than "
                f"sequence_length={length}: raise it, or shorten the sequences"
            )
        if self.micro_batch_size and self.batch_size % self.micro_batch_size and not self.dp.epsilon:
            raise UserError(
                f"micro_batch_size={self.micro_batch_size} must divide batch_size={self.batch_size}: change one of them"
            )
        if self.base_width and model.scale_embeddings:
            raise UserError(
                f"base_width={self.base_width} does not fit model.scale_embeddings=True, which multiplies the embeddings by "
                "the square root of the width: leave one of them out"
            )
        if self.mixture or self.mixture_target_tokens or not self.mixture_copies:
            self._check_mixture()
        self._check_objective()
        self._check_fill_in_middle()
        self._check_privacy()
        self.check_tasks()
        self.check_end()
        check_schedule(self.schedule)
        if not 0 <= self.label_smoothing < 1:
            raise UserError(f"label_smoothing={self.label_smoothing} must be at least 0 and less than 1")

    def _check_objective(self) -> None:
        for name, owner in OBJECTIVE_SETTINGS.items():
            value = getattr(self, name)
            if self.objective != owner and value != getattr(type(self), name):
                raise UserError(f"{name}={value:g} is for --objective {owner}, not {self.objective}: leave it out")
        if not 0 <= self.mark_dropout <= 1:
            raise UserError(f"mark_dropout={self.mark_dropout:g} is not a share of the marks: use 0 to 1")
        if not 0 <= self.unlikelihood_weight < float("inf"):
            raise UserError(f"unlikelihood_weight={self.unlikelihood_weight:g} is out of range: use 0 or more")
        if self.objective != "next-token" and "marks" not in DatasetFolder(self.data).token_manifest():
            raise UserError(
                f"objective={self.objective} needs text with marks, and dataset '{self.data}' has none: prepare it from a "
                'recipe whose last stage is { kind = "mark" }'
            )

    def _check_fill_in_middle(self) -> None:
        if not self.fim_rate and self.fim_spm_rate == type(self).fim_spm_rate:
            return
        from lmcraft.training.fill_in_middle import check_fill_in_middle  # imports numpy, which --help does without

        dataset = DatasetFolder(self.data)
        check_fill_in_middle(self.fim_rate, self.fim_spm_rate, dataset, private=bool(self.dp.epsilon))
        if self.without:
            raise UserError(
                f"fim_rate={self.fim_rate:g} does not work with without={','.join(map(str, self.without))}, since the "
                "length of a document moves the others in its row: leave the documents out when you prepare the data"
            )

    def _check_privacy(self) -> None:
        self.dp.check()
        if not self.dp.epsilon:
            return
        if self.dp.unit == "example":
            raise UserError("dp.unit=example is for fine-tuning: pretraining protects documents, so leave it out")
        for name, remedy in (
            ("mixture", "leave it out"),
            ("mixture_target_tokens", "leave it out"),
            ("without", "leave the documents out when you prepare the data"),
            ("find_lr", "try rates on public data"),
            ("coordinate_check", "run it on public data"),
        ):
            if value := getattr(self, name):
                raise UserError(
                    f"{name}={value} does not work with dp.epsilon={self.dp.epsilon:g}, since each document is read with "
                    f"the same probability, and nothing outside the budget: {remedy}"
                )
        if self.objective != "next-token":
            raise UserError(f"objective={self.objective} does not work with differential privacy: use next-token")
        if "marks" in DatasetFolder(self.data).token_manifest():
            raise UserError(
                f"dataset '{self.data}' has marks, which do not work with differential privacy: prepare it without the "
                "stage mark"
            )

    def _check_mixture(self) -> None:
        from lmcraft.data.mixture import Mixture  # imports numpy, which --help does without

        if self.mixture_target_tokens < 0:
            raise UserError(f"mixture_target_tokens={self.mixture_target_tokens} must not be negative")
        manifest = DatasetFolder(self.data).token_manifest()
        if "parts" not in manifest:
            settings: dict[str, object] = {f"mixture.{name}": f"{weight:g}" for name, weight in self.mixture.items()}
            settings |= {"mixture_target_tokens": self.mixture_target_tokens} if self.mixture_target_tokens else {}
            name, value = next(iter(settings.items()), ("mixture_copies", self.mixture_copies))
            raise UserError(
                f"{name}={value} needs the sources of a recipe, and dataset '{self.data}' has none: prepare it from "
                "one (docs/mixing.md), or leave the setting out"
            )
        Mixture.read(manifest, self.mixture, self.mixture_target_tokens, copies=self.mixture_copies)


@command_config
@dataclass(frozen=True, kw_only=True)
class PlanConfig(PretrainConfig):
    """Estimate the parameters, operations, memory, time and energy of `lmcraft pretrain` with the same settings.

    Measures a few training steps, unless --tflops gives the speed. Writes nothing.
    """

    tflops: Annotated[float, automatic("measured on this machine")] = 0.0
    """Speed of training in TFLOP/s, for a run on another machine."""
    watts: Annotated[float, automatic("the run's own meter, or 65 with --tflops")] = 0.0
    """Power that the machine draws during training."""
    json: bool = False
    """Print JSON instead of tables."""

    # A run's configuration file has these settings, and a plan does not use them.
    out: Annotated[Path, HIDDEN] = Path("models/model")
    resume: Annotated[bool, HIDDEN] = False
    save_every: Annotated[int, HIDDEN] = 0
    snapshots: Annotated[int, HIDDEN] = 0
    canaries: Annotated[int, HIDDEN] = 0
    sample_every: Annotated[int, HIDDEN] = 0
    sample_prompt: Annotated[str, HIDDEN] = ""
    tensorboard: Annotated[bool, HIDDEN] = False
    find_lr: Annotated[bool, HIDDEN] = False
    coordinate_check: Annotated[tuple[int, ...], SEVERAL_VALUES, HIDDEN] = ()

    def resolved(self) -> Self:
        config = super().resolved()
        for name in ("tflops", "watts"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative")
        if config.tflops and not config.max_steps:
            name = "time_budget" if config.time_budget else "energy_budget"
            raise UserError(f"{name}={getattr(config, name)} needs a measured speed: leave --tflops out, or use --max-steps")
        return config


@command_config
@dataclass(frozen=True, kw_only=True)
class ScalingConfig(PretrainConfig):
    """Train a family of small models, fit a scaling law, predict the loss of the next size, then train that and compare.

    Each run is a `lmcraft pretrain` run with the other settings of this command; its model folder is under OUT/runs.
    """

    out: Path = Path("models/scaling")
    """Folder to write: the runs, scaling.toml, scaling.json and scaling.html."""
    depths: Annotated[tuple[int, ...], SEVERAL_VALUES] = (2, 3, 4)
    """Numbers of blocks of the family's models. A single block learns differently (arXiv 2209.11895)."""
    width_per_depth: int = 16
    """Model width per block. Pretrain has 64; the default here is smaller, so that a family trains in minutes."""
    tokens_per_parameter: Annotated[tuple[float, ...], SEVERAL_VALUES] = (5.0, 10.0, 20.0)
    """Lengths of each model's runs; each length is a separate run with its own learning-rate decay."""
    predict: Annotated[int, automatic("one more than the largest of --depths")] = 0
    """Number of blocks of the predicted model, trained for the longest of the lengths."""
    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES, OUTPUT] = ()
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/evaluation.md), to draw over sizes and
    checkpoints when the runs are trained."""
    evaluate_every: Annotated[int, OFF, OUTPUT] = 0
    """Steps between evaluations on --tasks during each run, for more points of its curve."""

    depth: Annotated[int | None, HIDDEN] = None
    max_steps: Annotated[int, HIDDEN] = 0
    max_tokens: Annotated[int, HIDDEN] = 0
    time_budget: Annotated[Duration, quantity("no limit"), HIDDEN] = Duration(0)
    energy_budget: Annotated[EnergyAmount, quantity("no limit"), HIDDEN] = EnergyAmount(0)
    find_lr: Annotated[bool, HIDDEN] = False
    coordinate_check: Annotated[tuple[int, ...], SEVERAL_VALUES, HIDDEN] = ()

    def resolved(self) -> Self:
        """Sort the family, and fill in the sequence length and validation tokens that all of its runs share."""
        for name in SINGLE_RUN_SETTINGS:
            if value := getattr(self, name):
                raise UserError(f"{name}={value} is for a single run: use --depths and --tokens-per-parameter for a family")
        if self.dp.epsilon:
            raise UserError(
                f"dp.epsilon={self.dp.epsilon:g} is for a single run: each run of a family would spend as much again, so "
                "use public data for the family, and `lmcraft pretrain` for the private run"
            )
        self.check_task_ranges()
        from lmcraft.data.loader import TokenSplit  # imports numpy, which --help does without

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
            eval_tokens=self.eval_tokens or min(SCALING_EVAL_TOKENS, tokens),
        )

    def _check_family(self, depths: tuple[int, ...], lengths: tuple[float, ...], predict: int) -> None:
        if len(set(depths)) < max(3, len(depths)) or depths[0] < 1:
            raise UserError(f"depths={_spaced(depths)} must be at least three different numbers, all at least 1")
        if len(set(lengths)) < max(2, len(lengths)) or not 0 < lengths[0] <= lengths[-1] < float("inf"):
            raise UserError(f"tokens_per_parameter={_spaced(lengths)} must be at least two different positive numbers")
        if predict <= depths[-1]:
            raise UserError(f"predict={predict} must be more than {depths[-1]}, the largest of --depths")
        if self.width_per_depth < 16 or self.width_per_depth % 16:
            raise UserError(f"width_per_depth={self.width_per_depth} must be a multiple of 16")
        if self.model.num_hidden_layers:
            raise UserError(f"model.num_hidden_layers={self.model.num_hidden_layers} makes all models equal: leave it out")


def _spaced(values: Sequence[float]) -> str:
    return " ".join(f"{value:g}" for value in values)
