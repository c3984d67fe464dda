"""The settings of a fine-tuning run: data, objective, method, optimizer.

The settings of the objectives are the fields of their classes in `objectives/`, merged here into one flat group of flags.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from cyclopts import Parameter

from lmcraft.config import ADVANCED, DATA, LENGTH, MACHINE, OUTPUT, SEVERAL_VALUES, automatic, command_config, section
from lmcraft.data.formats import has_rows
from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.base import FinetuneObjective
from lmcraft.finetuning.objectives.registry import OBJECTIVES, describe_objectives, objectives_with
from lmcraft.finetuning.privacy import check_private_settings
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.training import depth_rule
from lmcraft.training.config import OptimizerConfig, TrainConfig
from lmcraft.training.schedule import check_schedule

# Usual learning rates for AdamW. Adapters start at zero and tolerate ten times the rate of a full fine-tune.
LEARNING_RATES = {"lora": 2e-4, "dora": 2e-4, "full": 2e-5, "last": 5e-5, "head": 1e-3}
MethodName = Literal["lora", "dora", "full", "last", "head"]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """Which weights are trained. lora and dora write an adapter in PEFT's format, the others a whole model."""

    name: MethodName = "lora"
    """lora, dora: low-rank adapters on frozen weights; full: all weights; last: the last blocks; head: the output
    projection, or a classifier's head."""
    rank: int = 16
    """LoRA/DoRA rank."""
    alpha: float = 32.0
    """LoRA/DoRA alpha: the adapter's output is scaled by alpha / rank."""
    dropout: float = 0.0
    """LoRA/DoRA dropout: on the adapter's input, during training."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (rsLoRA, arXiv 2312.03732)."""
    target_modules: Annotated[tuple[str, ...], SEVERAL_VALUES] = ("all-linear",)
    """Matrices that get an adapter, by the last part of their names; all-linear: all matrices of the blocks, but not experts
    that are stored in one tensor (gpt-oss, Llama 4), nor what PEFT cannot adapt: routers, and outputs of Mamba layers."""
    base_weights: Literal["keep", "int8", "int4"] = "keep"
    """Precision of the frozen weights under an adapter: unchanged, 8 or 4 bits (QLoRA, arXiv 2305.14314)."""
    last_layers: int = 2
    """Number of blocks that method last trains."""
    layer_decay: float = 1.0
    """Layer-wise learning-rate decay: each block's rate is this factor times that of the block above (arXiv 1801.06146,
    section 3.2)."""

    @property
    def adapts(self) -> bool:
        return self.name in ("lora", "dora")

    def check(self) -> None:
        """Raise UserError for a setting out of range."""
        if self.rank < 1:
            raise UserError(f"method.rank={self.rank} is out of range: it must be at least 1; 8 to 64 are usual")
        if self.alpha <= 0:
            raise UserError(f"method.alpha={self.alpha:g} is out of range: it must be positive; twice the rank is usual")
        if not 0 <= self.dropout < 1:
            raise UserError(f"method.dropout={self.dropout:g} is out of range: it must be at least 0 and less than 1")
        if not 0 < self.layer_decay <= 1:
            raise UserError(
                f"method.layer_decay={self.layer_decay:g} is out of range: it must be greater than 0 and at most 1"
            )
        if self.last_layers < 1:
            raise UserError(f"method.last_layers={self.last_layers} is out of range: it must be at least 1")
        if self.base_weights != "keep" and not self.adapts:
            raise UserError(
                f"method.base_weights={self.base_weights} needs frozen weights, but method.name={self.name} trains them: "
                "use lora or dora"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptimizerConfig(OptimizerConfig):
    """The optimizer: AdamW with one learning rate by default."""

    name: Literal["adamw", "adam", "sgd", "normuon", "muon"] = "adamw"
    """Optimizer; normuon and muon train the matrices, and AdamW the other weights."""
    learning_rate: Annotated[float, automatic("2e-4 for lora and dora, 2e-5 for full, 5e-5 for last, 1e-3 for head")] = 0.0
    """Learning rate; with normuon and muon, that of the matrices, and by default that of pretraining."""
    embedding_learning_rate: Annotated[float, automatic("--optimizer.learning-rate")] = 0.0
    """Learning rate of the embeddings (and so of a tied output projection)."""
    head_learning_rate: Annotated[float, automatic("--optimizer.learning-rate")] = 0.0
    """Learning rate of an untied output projection."""
    scalar_learning_rate: Annotated[float, automatic("--optimizer.learning-rate")] = 0.0
    """Learning rate of norms and biases."""
    beta2: float = 0.999
    """Decay of Adam's mean of squared gradients."""


@dataclass(frozen=True, kw_only=True)
class CommonObjectiveConfig:
    """Settings that do not depend on the objective."""

    l2_sp: float = 0.0
    """Weight decay towards the starting weights instead of zero (arXiv 1802.01483), for method full and last; 0: off."""
    max_new_tokens: int = 128
    """Maximum length of a generated answer, in the report and in grpo."""
    general_text: Path | None = None
    """Text file whose perplexity is measured before and after, to show forgetting; by default argparse.py of Python's
    standard library."""


def _merge_settings() -> Iterator[tuple[str, Any, Any]]:
    """Name, type and field of each setting of the objectives; a setting that several objectives share appears once."""
    owners: dict[str, dict[str, list[str]]] = {}  # setting -> help text -> objectives
    merged: dict[str, tuple[Any, Any]] = {}
    for name, cls in OBJECTIVES.items():
        hints = get_type_hints(cls)
        for f in fields(cls):
            assert merged.setdefault(f.name, (hints[f.name], f.default)) == (hints[f.name], f.default), (
                f"{name}'s setting '{f.name}' has another type or default than in {', '.join(objectives_with(f.name))}"
            )
            owners.setdefault(f.name, {}).setdefault(f.metadata["help"], []).append(name)
    for name, (hint, default) in merged.items():
        text = " ".join(f"{', '.join(names)}: {line}" for line, names in owners[name].items())
        yield name, Annotated[hint, Parameter(help=text)], field(default=default)


if TYPE_CHECKING:
    ObjectiveName = str

    class ObjectiveConfig(CommonObjectiveConfig):
        def __init__(self, **settings: Any) -> None: ...
else:
    ObjectiveName = Literal[tuple(OBJECTIVES)]
    ObjectiveConfig = make_dataclass(
        "ObjectiveConfig",
        _merge_settings(),
        bases=(CommonObjectiveConfig,),
        namespace={"__module__": __name__, "__doc__": "The settings of all objectives, and those they have in common."},
        frozen=True,
        kw_only=True,
    )


@command_config
@dataclass(frozen=True)
class FinetuneConfig(TrainConfig):
    """Fine-tune a model on examples. The detected data format is shown before training starts."""

    model: ModelArgument
    """Model folder, GGUF file or address (hf:owner/name)."""
    data: tuple[Path, ...]
    """Files of examples (.jsonl, .json, .csv, .tsv, .parquet; .po, .mo, .tmx), whose format is detected; for continued, a
    dataset folder."""

    _: KW_ONLY
    out: Path = Path("models/tuned")
    """Output folder: an adapter (lora, dora) or a whole model."""
    objective: Annotated[ObjectiveName, Parameter(help=f"What the model learns to do. {describe_objectives()}.")] = "sft"
    method: Annotated[MethodConfig, section("Method")] = field(default_factory=MethodConfig)
    settings: Annotated[ObjectiveConfig, section("Objective", name="*")] = field(default_factory=ObjectiveConfig)
    optimizer: Annotated[FinetuneOptimizerConfig, section("Optimizer")] = field(default_factory=FinetuneOptimizerConfig)

    epochs: Annotated[float, LENGTH] = 3.0
    """Passes over the examples, unless --max-steps is given."""
    batch_size: Annotated[int, automatic("rows with about 16 examples"), LENGTH] = 0
    """Rows per step."""
    max_steps: Annotated[int, automatic("set by --epochs"), LENGTH] = 0
    """Number of steps."""
    compile: Annotated[Literal["auto", "on", "off"], MACHINE] = "auto"
    """Compile each block with torch.compile: faster steps, after a minute or more of compiling; auto: off."""
    eval_tokens: Annotated[int, automatic("all validation rows, or pretraining's rule for continued"), OUTPUT] = 0
    """Validation tokens per evaluation."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed for new weights, data order, split and dropout."""
    validation: Annotated[float, DATA] = 0.1
    """Share of the examples held out for validation."""
    validation_data: Annotated[tuple[Path, ...], DATA] = ()
    """Files of validation examples, instead of a share of the data."""
    sequence_length: Annotated[int, automatic("the longest example, at least 512, or 256 for classification"), DATA] = 0
    """Tokens per row."""
    packing: Annotated[bool, DATA] = True
    """Pack several examples into a row; they do not attend to each other."""
    encoding: Annotated[str | None, DATA] = None
    """Encoding of the files, such as gb18030 or cp1252. [default: UTF-8, else detected for each file]"""
    prompt_column: Annotated[str, DATA] = ""
    """Column of the prompt, or of the text to classify, if it has an unusual name; `a.b` is the field b of the objects in
    column a."""
    answer_column: Annotated[str, DATA] = ""
    """Column of the answer, or of the label, if it has an unusual name."""
    malformed: Annotated[Literal["fail", "skip"], DATA] = "fail"
    """What to do with rows that cannot be used, such as those without an answer: fail, or skip them and list them."""
    too_long: Annotated[Literal["refuse", "skip"], DATA] = "refuse"
    """What to do with examples longer than a row: refuse to start, or skip them. Examples are never cut."""
    chat_template: Annotated[str, DATA] = ""
    """Chat template: a Jinja file, or "plain" for role names in plain text; empty: the model's own. Saved with the model."""
    system: Annotated[str, DATA] = ""
    """System message for conversations that have none."""
    variables: Annotated[dict[str, str], Parameter(negative=""), DATA] = field(default_factory=dict)
    """Replacement for {{name}} in the examples: --variables.name VALUE."""
    show_batch: Annotated[bool, DATA] = False
    """Print the tokens of the first batch, with a star at those that are learned, and exit."""
    report_answers: Annotated[int, OUTPUT] = 10
    """Number of held-out prompts answered before and after, side by side in the report."""

    def resolved(self) -> Self:
        if has_rows(Path(self.model)):
            raise UserError(
                f"model={self.model} is the name of a file of examples: give the model first, then the data, as in "
                "`lmcraft finetune MODEL DATA`"
            )
        self.method.check()
        objective = self.build_objective()
        objective.check()
        self.dp.check()
        if self.dp.epsilon:
            method, l2_sp = self.method.name, self.settings.l2_sp
            check_private_settings(self.objective, objective, method=method, unit=self.dp.unit, l2_sp=l2_sp)
        self.check_tasks()
        self.check_end()
        if self.canaries and objective.example_type is not None:
            raise UserError(
                f"canaries={self.canaries} are documents, which objective={self.objective} does not read: use "
                "--objective continued with a dataset folder, or leave them out"
            )
        check_schedule(self.schedule)
        if self.tasks and objective.needs_head:
            raise UserError(
                f"tasks={','.join(self.tasks)} need a model that writes text, which objective={self.objective} does not "
                "train: leave them out"
            )
        self._check_ranges()
        rate = self.optimizer.learning_rate or LEARNING_RATES[self.method.name]
        optimizer = replace(self.optimizer, learning_rate=rate)
        if optimizer.name in ("adamw", "adam", "sgd"):
            optimizer = depth_rule.resolve_optimizer(optimizer, 1)  # one rate for every group
        else:
            optimizer = depth_rule.resolve_optimizer(replace(optimizer, learning_rate=self.optimizer.learning_rate), 1024)
        return replace(self, optimizer=optimizer)

    def build_objective(self) -> FinetuneObjective:
        """The objective with its settings.

        Raises:
            UserError: a setting of another objective is given.
        """
        cls = OBJECTIVES[self.objective]
        names = {f.name for f in fields(cls)}
        for f in fields(self.settings):
            owners, value = objectives_with(f.name), getattr(self.settings, f.name)
            if owners and f.name not in names and value != f.default:
                raise UserError(
                    f"{f.name}={value} is for --objective {', '.join(owners)}, not {self.objective}: leave it out"
                )
        return cls(**{name: getattr(self.settings, name) for name in names})

    def _check_ranges(self) -> None:
        l2_sp = self.settings.l2_sp
        if l2_sp < 0:
            raise UserError(f"l2_sp={l2_sp:g} is out of range: it must be at least 0, which turns it off")
        if l2_sp and self.method.name not in ("full", "last"):
            raise UserError(f"l2_sp={l2_sp:g} does nothing to new weights: use --method.name full or last")
        for name in ("batch_size", "micro_batch_size", "max_steps", "sequence_length", "report_answers"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} is out of range: it must be at least 0")
        if self.epochs <= 0:
            raise UserError(f"epochs={self.epochs:g} is out of range: it must be greater than 0")
        if not 0 < self.validation < 1:
            raise UserError(f"validation={self.validation:g} is out of range: give a share between 0 and 1, such as 0.1")
