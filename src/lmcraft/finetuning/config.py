"""The settings of a tuning run: what of a model is trained, how an objective is set, what it learns from."""

from dataclasses import KW_ONLY, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from cyclopts import Parameter

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.training import depth_rule
from lmcraft.training.config import OptimizerConfig, TrainConfig

# Learning rates that are usual with AdamW: adapters start at nothing and bear ten times as much as a whole model.
RATES = {"lora": 2e-4, "dora": 2e-4, "full": 2e-5, "last": 5e-5, "head": 1e-3}
MethodName = Literal["lora", "dora", "full", "last", "head"]


@dataclass(frozen=True, kw_only=True)
class MethodConfig:
    """What of the model is trained. Adapters (lora, dora) are written in PEFT's format, the others as whole models."""

    name: MethodName = "lora"
    """lora and dora: low-rank changes beside frozen weights; full: everything; last: the last blocks; head: the output
    projection, or a classifier's head."""
    rank: int = 16
    """Of lora and dora: the columns of their matrices."""
    alpha: float = 32.0
    """The change is scaled by alpha / rank."""
    dropout: float = 0.0
    """Of the input of an adapter, while it trains."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (arXiv 2312.03732)."""
    target_modules: tuple[str, ...] = ("all-linear",)
    """Which matrices get an adapter, by the last part of their names; all-linear: all of the blocks'."""
    base_weights: Literal["keep", "int8", "int4"] = "keep"
    """Keep the frozen weights in so many bits under the adapter (QLoRA, arXiv 2305.14314)."""
    last_layers: int = 2
    """Of last: how many blocks are trained."""
    layer_decay: float = 1.0
    """Each block's learning rate is so many times that of the block above it (arXiv 1801.06146, section 3.2)."""

    @property
    def adapts(self) -> bool:
        return self.name in ("lora", "dora")

    def check(self) -> None:
        """Raise UserError for what cannot be."""
        if self.rank < 1:
            raise UserError(f"method.rank={self.rank} must be at least 1: 8 to 64 are usual")
        if self.alpha <= 0:
            raise UserError(f"method.alpha={self.alpha:g} must be greater than 0: twice the rank is usual")
        if not 0 <= self.dropout < 1:
            raise UserError(f"method.dropout={self.dropout:g} must be at least 0 and less than 1")
        if not 0 < self.layer_decay <= 1:
            raise UserError(f"method.layer_decay={self.layer_decay:g} must be greater than 0 and at most 1: 1 turns it off")
        if self.last_layers < 1:
            raise UserError(f"method.last_layers={self.last_layers} must be at least 1")
        if self.base_weights != "keep" and not self.adapts:
            raise UserError(
                f"method.base_weights={self.base_weights} needs frozen weights, which method.name={self.name} has not: "
                "choose lora or dora"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneOptimizerConfig(OptimizerConfig):
    """How a gradient becomes a step; AdamW with one rate, unless said otherwise."""

    name: Literal["adamw", "adam", "sgd", "normuon", "muon"] = "adamw"
    """Rule for the weights; normuon and muon take the matrices, and AdamW the rest."""
    beta2: float = 0.999
    """Decay of Adam's mean of squared gradients."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """What the objectives read beside the data; each says which."""

    beta: float = 0.1
    """dpo, ipo, kto: how much the model stays as it was; grpo: the weight of the divergence from it."""
    length_normalized: bool = False
    """dpo: compare log-probabilities of a token, not of an answer, so that long answers are not favored."""
    undesirable_weight: float = 1.0
    """kto: of answers that are not wanted; those that are have 1."""
    pooling: Literal["last", "mean"] = "last"
    """classify: what the head sees, the last token or the mean of all."""
    class_weights: Literal["none", "balanced"] = "none"
    """classify: balanced makes rare labels count as much as frequent ones."""
    teacher: str = ""
    """distil: the model to learn from, of the same vocabulary."""
    teacher_share: float = 0.5
    """distil: of the loss, the part that is the divergence from the teacher."""
    temperature: float = 2.0
    """distil: softens both models' probabilities (arXiv 1503.02531)."""
    reward: str = ""
    """grpo: FILE.py:NAME of a function that says what an answer is worth: NAME(example, answer) -> number."""
    answers: int = 8
    """grpo: how often each prompt is answered in a step."""
    max_new_tokens: int = 128
    """grpo: most tokens of an answer; and of the answers in the report."""

    kl: float = 0.0
    """sft: weight of the divergence from the starting model, against forgetting."""
    l2_sp: float = 0.0
    """Decay towards the starting weights, rather than towards zero (arXiv 1802.01483); of method full and last."""
    general: Path | None = None
    """sft: a dataset folder of general text, some of which is learned beside the examples, against forgetting."""
    general_share: float = 0.1
    """sft: the share of rows that are general text, where `general` is given."""
    general_text: Path | None = None
    """A text file on which perplexity is measured before and after; left out, the Python library's argparse.py."""

    def check(self, objective: str) -> None:
        """Raise UserError for what cannot be, or is of another objective."""
        for name, owners in OWNERS.items():
            if getattr(self, name) != getattr(ObjectiveConfig(), name) and objective not in owners:
                value = getattr(self, name)
                raise UserError(f"{name}={value} is for --objective {', '.join(owners)}, not {objective}: leave it out")
        for name in ("beta", "temperature", "undesirable_weight"):
            if not getattr(self, name) > 0:
                raise UserError(f"{name}={getattr(self, name):g} must be greater than 0")
        for name in ("kl", "l2_sp"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name):g} must not be negative: 0 turns it off")
        if not 0 <= self.teacher_share <= 1:
            raise UserError(f"teacher_share={self.teacher_share:g} must be a share from 0 to 1")
        if not 0 <= self.general_share < 1:
            raise UserError(f"general_share={self.general_share:g} must be a share from 0 to less than 1")
        if self.answers < 2:
            raise UserError(f"answers={self.answers} cannot be compared with each other: give at least 2")


OWNERS = {
    "beta": ("dpo", "ipo", "kto", "grpo"),
    "length_normalized": ("dpo",),
    "undesirable_weight": ("kto",),
    "pooling": ("classify",),
    "class_weights": ("classify",),
    "teacher": ("distil",),
    "teacher_share": ("distil",),
    "temperature": ("distil",),
    "reward": ("grpo",),
    "answers": ("grpo",),
    "kl": ("sft", "continue"),
    "general": ("sft", "distil"),
    "general_share": ("sft", "distil"),
}
ObjectiveName = Literal["sft", "distil", "dpo", "ipo", "kto", "reward", "classify", "grpo", "continue"]


@command_config
@dataclass(frozen=True)
class FinetuneConfig(TrainConfig, Config):
    """Tune a model on examples of one task. What the examples are is shown before the first step."""

    model: str
    """Model folder, GGUF file or address (hf:owner/name)."""
    data: tuple[Path, ...]
    """Files of examples (.jsonl, .json, .csv, .tsv, .parquet), whose kind is recognized; of continue, a dataset folder."""

    _: KW_ONLY

    out: Path = Path("models/tuned")
    """Folder to write: an adapter (lora, dora) or a whole model."""
    objective: ObjectiveName = "sft"
    """sft: answer as the examples do; distil: and as a teacher would; dpo, ipo, kto: answer as is preferred; classify: say
    which label a text has; reward: say which answer is better; grpo: answer as a reward function rewards; continue: go on
    with pretraining."""
    method: Annotated[MethodConfig, Parameter(group="Method")] = field(default_factory=MethodConfig)
    settings: Annotated[ObjectiveConfig, Parameter(name="*", group="Objective")] = field(default_factory=ObjectiveConfig)
    optimizer: Annotated[FinetuneOptimizerConfig, Parameter(group="Optimizer")] = field(
        default_factory=FinetuneOptimizerConfig
    )

    epochs: float = 3.0
    """How often each example is seen, unless max_steps says how long the run is."""
    validation: float = 0.1
    """Share of the examples that are held out, to measure on."""
    validation_data: tuple[Path, ...] = ()
    """Files of examples to measure on instead."""
    sequence_length: int = 0
    """Tokens in a row; 0: as many as the longest example has, but 512 at least."""
    packing: bool = True
    """Put several examples into a row, which do not see each other."""
    too_long: Literal["refuse", "skip"] = "refuse"
    """What to do with an example that is longer than a row; none is ever cut."""
    chat_template: str = ""
    """A file with another chat template, or "plain" for one of plain words; it is kept in the folder."""
    system: str = ""
    """What the model is told at the start of every conversation that does not say it itself."""
    variables: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """What stands for {{name}} in the examples: --variables.name VALUE."""
    show_batch: bool = False
    """Train nothing: print the tokens of the first batch, which of them are learned, and where examples end."""
    answers_shown: int = 10
    """How many held-out prompts are answered before and after, side by side."""

    def resolved(self) -> Self:
        self.method.check()
        self.settings.check(self.objective)
        if self.settings.l2_sp and self.method.name not in ("full", "last"):
            raise UserError(f"l2_sp={self.settings.l2_sp:g} is of weights that were there before: method full or last")
        if self.objective == "distil" and not self.settings.teacher:
            raise UserError("teacher is empty, and objective=distil learns from one: give a model of the same vocabulary")
        for name in ("batch_size", "micro_batch_size", "max_steps", "sequence_length", "answers_shown"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative: 0 leaves it to a rule")
        if self.epochs <= 0:
            raise UserError(f"epochs={self.epochs:g} must be greater than 0")
        if not 0 < self.validation < 1:
            raise UserError(f"validation={self.validation:g} must be a share between 0 and 1, such as 0.1")
        rate = self.optimizer.learning_rate or RATES[self.method.name]
        optimizer = replace(self.optimizer, learning_rate=rate)
        if optimizer.name in ("adamw", "adam", "sgd"):
            optimizer = depth_rule.resolve_optimizer(optimizer, 1)  # one rate for every group
        else:
            optimizer = depth_rule.resolve_optimizer(replace(optimizer, learning_rate=self.optimizer.learning_rate), 1024)
        return replace(self, optimizer=optimizer)
