"""The settings of the training loop, shared by every objective. 0 means automatic (`lmcraft.training.depth_rule`)."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

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
    Config,
    automatic,
    quantity,
    section,
)
from lmcraft.errors import UserError
from lmcraft.quantities import Duration, EnergyAmount


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """The update rule. Weights form four groups, each with its own learning rate."""

    name: Literal["normuon", "muon", "adamw", "adam", "sgd"] = "normuon"
    """Optimizer of the blocks' weight matrices; with normuon and muon, AdamW updates the other groups."""
    learning_rate: Annotated[float, BY_DEPTH] = 0.0
    """Learning rate of the blocks' weight matrices."""
    embedding_learning_rate: Annotated[float, BY_DEPTH] = 0.0
    """Learning rate of the embeddings, and of a tied output projection."""
    head_learning_rate: Annotated[float, BY_DEPTH] = 0.0
    """Learning rate of an untied output projection."""
    scalar_learning_rate: Annotated[float, BY_DEPTH] = 0.0
    """Learning rate of norms and biases."""
    momentum: float = 0.95
    """Momentum of normuon, muon and sgd."""
    nesterov: bool = True
    """Nesterov momentum (normuon, muon, sgd)."""
    row_beta2: float = 0.95
    """NorMuon's decay of the mean square of each row (arXiv 2510.05491)."""
    beta1: float = 0.9
    """Adam's decay of the mean gradient."""
    beta2: float = 0.99
    """Adam's decay of the mean squared gradient."""
    eps: float = 1e-8
    """Adam's epsilon, added to the denominator."""
    weight_decay: float = 0.0
    """Decoupled weight decay of matrices and embeddings, w -= lr * weight_decay * w (arXiv 1711.05101)."""
    cautious_decay: bool = False
    """Decay a weight only if the step makes it smaller too (arXiv 2510.12402)."""
    l2: float = 0.0
    """Coupled L2 penalty: l2 * w is added to the gradient of matrices and embeddings."""
    l1: float = 0.0
    """L1 penalty: l1 * sign(w) is added to the gradient of matrices and embeddings."""
    gradient_clip: float = 1.0
    """Maximum norm of the whole gradient; 0: no limit."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """The learning-rate schedule: a factor between 0 and 1 for all learning rates."""

    name: Literal["constant", "linear", "cosine", "wsd"] = "wsd"
    """Shape of the schedule; wsd is warmup, stable, decay (arXiv 2404.06395, section 4)."""
    warmup: float = 0.02
    """Share of the steps spent on warmup from 0 to 1."""
    decay: float = 0.5
    """wsd: share of the steps spent decaying, at the end of the run."""
    final: float = 0.0
    """Factor at the last step."""
    decay_steps: Annotated[int, Parameter(show=False)] = 0
    """wsd and linear: steps of the decay in place of its share, once a budget has changed the length of the run."""


@dataclass(frozen=True, kw_only=True)
class DPConfig:
    """Differential privacy: the gradient of each unit is clipped, and noise is added (DP-SGD)."""

    epsilon: Annotated[float, OFF] = 0.0
    """Budget: how much the weights may reveal about whether a unit is in the data. Training stops before it spends more."""
    delta: Annotated[float, automatic("1 / units^1.1")] = 0.0
    """Probability that they reveal more."""
    unit: Literal["auto", "document", "example"] = "auto"
    """What the guarantee protects; auto: a document of a dataset folder, or an example for fine-tuning."""
    max_grad_norm: float = 1.0
    """Norm to which the gradient of each unit is clipped."""
    noise_multiplier: Annotated[float, automatic("as much as the budget needs")] = 0.0
    """Standard deviation of the noise / max_grad_norm."""
    accountant: Literal["prv", "rdp"] = "prv"
    """How the budget is counted: prv is tight (arXiv 2106.02848), rdp looser (arXiv 1908.10530)."""

    def check(self) -> None:
        """Raise UserError for a setting that is out of its range, or has no effect."""
        if self.epsilon == 0:
            for name in ("delta", "noise_multiplier"):
                if value := getattr(self, name):
                    raise UserError(f"dp.{name}={value:g} has no effect without a budget: set --dp.epsilon, such as 8")
            return
        for name in ("epsilon", "max_grad_norm"):
            if not 0 < (value := getattr(self, name)) < float("inf"):
                raise UserError(f"dp.{name}={value:g} is out of range: give a number above 0")
        if not 0 <= self.delta < 1:
            raise UserError(f"dp.delta={self.delta:g} is not a probability: give a small one, such as 1e-6")
        if not 0 <= self.noise_multiplier < float("inf"):
            raise UserError(f"dp.noise_multiplier={self.noise_multiplier:g} is out of range: give a number above 0")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """The settings that every training run has."""

    optimizer: Annotated[OptimizerConfig, section("Optimizer")] = field(default_factory=OptimizerConfig)
    schedule: Annotated[ScheduleConfig, section("Schedule")] = field(default_factory=ScheduleConfig)
    dp: Annotated[DPConfig, section("Privacy")] = field(default_factory=DPConfig)

    batch_size: Annotated[int, automatic("automatic"), LENGTH] = 0
    """Sequences per step."""
    micro_batch_size: Annotated[int, automatic("as many as fit in memory and are fast"), MACHINE] = 0
    """Sequences per forward pass. Gradients accumulate over the batch, with the same result."""
    max_steps: Annotated[int, automatic("automatic"), LENGTH] = 0
    """Length of the run in steps."""
    time_budget: Annotated[Duration, quantity("no limit"), LENGTH] = Duration(0)
    """Time for the whole command, such as 10m or 1.5h; --resume with a larger one goes on."""
    energy_budget: Annotated[EnergyAmount, quantity("no limit"), LENGTH] = EnergyAmount(0)
    """Energy of the whole run, such as 50Wh or 0.2kWh, its earlier starts included; --resume with a larger one goes on."""
    eval_every: Annotated[int, automatic("20 times per run"), OUTPUT] = 0
    """Steps between evaluations on the validation split."""
    eval_tokens: Annotated[int, automatic("automatic"), OUTPUT] = 0
    """Validation tokens per evaluation, from the start of the split."""
    save_every: Annotated[int, automatic("at each evaluation"), OUTPUT] = 0
    """Steps between checkpoints; the last one and the best one are kept."""
    snapshots: Annotated[int, OFF, OUTPUT] = 0
    """Number of copies of the model that are kept along the run, most of them of early steps; each is as large as the model.
    lmcraft explain shows how a text was learned."""
    sample_every: Annotated[int, automatic("5 times per run"), OUTPUT] = 0
    """Steps between text samples."""
    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES, OUTPUT] = ()
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/evaluation.md), to evaluate during training."""
    evaluate_every: Annotated[int, OFF, OUTPUT] = 0
    """Steps between evaluations on --tasks; there is one before the first step and one after the last, too."""
    task_limit: Annotated[int, OUTPUT] = 100
    """Number of items per task, drawn at random, always the same ones; 0: all, or those of the scorecard."""

    canaries: Annotated[int, DATA, OFF] = 0
    """Number of short documents with a secret each, of which a coin puts half into the training data, so that
    `lmcraft audit privacy` can measure what the model gives away (docs/privacy-audit.md)."""
    holdout: Annotated[float, ADVANCED, OFF] = 0.0
    """Share of the validation data that is left out until the end: its loss is measured once, after the last step, so no
    choice between runs or weights depends on it."""
    pause_at: Annotated[int, ADVANCED, OFF] = 0
    """Evaluate, save and stop after this step; --resume continues, on the schedule of the whole run."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed for weights, data order and dropout."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of the activations; auto: bf16 if it is measurably faster on this machine."""
    attention: Annotated[Literal["auto", "matmul", "sdpa"], MACHINE] = "auto"
    """Plain matrix products and a softmax, or torch's fused attention; auto: measure both and use the faster one."""
    compile: Annotated[Literal["auto", "on", "off"], MACHINE] = "auto"
    """Compile each block with torch.compile: faster steps after a minute or more of compiling; auto: only in long runs."""
    activation_checkpointing: Annotated[bool, MACHINE] = False
    """Keep only the input of each block and recompute the rest in the backward pass: a third slower, far less memory."""
    tensorboard: Annotated[bool, OUTPUT] = False
    """Also write TensorBoard events (needs the extra tensorboard)."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""

    def check_end(self) -> None:
        """Raise UserError for a setting of the end of the run that is out of range."""
        if self.canaries < 0:
            raise UserError(f"canaries={self.canaries} must not be negative; 0 trains without canaries")
        if not 0 <= self.holdout < 1:
            raise UserError(f"holdout={self.holdout:g} is out of range: give a share of at least 0 and less than 1")
        if self.pause_at < 0:
            raise UserError(f"pause_at={self.pause_at} must not be negative; 0 trains to the end")
        if self.snapshots < 0 or self.snapshots == 1:
            raise UserError(f"snapshots={self.snapshots} is out of range: give at least 2, such as 20, or 0 to keep none")

    def check_tasks(self) -> None:
        """Raise UserError for a setting of the evaluation on tasks that is out of range or has no effect."""
        self.check_task_ranges()
        if self.tasks and not self.evaluate_every:
            raise UserError(
                f"tasks={','.join(self.tasks)} are evaluated only with --evaluate-every: give a number of steps, such as 100"
            )

    def check_task_ranges(self) -> None:
        """As `check_tasks`, for a command that also evaluates the tasks after training."""
        for name in ("evaluate_every", "task_limit"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative")
        if self.evaluate_every and not self.tasks:
            raise UserError(f"evaluate_every={self.evaluate_every} needs tasks: name some with --tasks, or leave it out")
