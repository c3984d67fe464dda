"""The settings of the training loop, shared by every objective. A number of 0 is left to the depth rule (`dial`)."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from cyclopts import Parameter


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How a gradient becomes a step. Weights fall in four groups, each with its own learning rate."""

    name: Literal["normuon", "muon", "adamw", "adam", "sgd"] = "normuon"
    """Rule for the blocks' matrices; with normuon and muon, AdamW takes the other groups."""
    learning_rate: float = 0.0
    """Of the blocks' matrices."""
    embedding_learning_rate: float = 0.0
    """Of the embeddings (and so of a tied output projection)."""
    head_learning_rate: float = 0.0
    """Of an untied output projection."""
    scalar_learning_rate: float = 0.0
    """Of norms and biases."""
    momentum: float = 0.95
    """Of normuon, muon and sgd."""
    nesterov: bool = True
    """Look ahead along the momentum (normuon, muon, sgd)."""
    row_beta2: float = 0.95
    """Decay of normuon's mean of squares of each row (arXiv 2510.05491)."""
    beta1: float = 0.9
    """Decay of Adam's mean of gradients."""
    beta2: float = 0.99
    """Decay of Adam's mean of squared gradients."""
    eps: float = 1e-8
    """Added to Adam's denominator."""
    weight_decay: float = 0.0
    """Decoupled decay of matrices and embeddings, w -= lr * weight_decay * w (arXiv 1711.05101)."""
    cautious_decay: bool = False
    """Decay a weight only where the step makes it smaller too (arXiv 2510.12402)."""
    l2: float = 0.0
    """Coupled L2 penalty: l2 * w joins the gradient of matrices and embeddings."""
    l1: float = 0.0
    """L1 penalty: l1 * sign(w) joins the gradient of matrices and embeddings."""
    gradient_clip: float = 1.0
    """Largest norm of the whole gradient; 0: no limit."""


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig:
    """How the learning rates move over the run; they are multiplied by a factor between 0 and 1."""

    name: Literal["constant", "linear", "cosine", "wsd"] = "wsd"
    """wsd is warmup, stable, decay (arXiv 2404.06395, section 4)."""
    warmup: float = 0.02
    """Share of the steps in which the factor rises from 0 to 1."""
    decay: float = 0.5
    """wsd: share of the steps in which it falls, at the end."""
    final: float = 0.0
    """The factor at the last step."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run, whatever its objective."""

    optimizer: Annotated[OptimizerConfig, Parameter(group="Optimizer")] = field(default_factory=OptimizerConfig)
    schedule: Annotated[ScheduleConfig, Parameter(group="Schedule")] = field(default_factory=ScheduleConfig)

    batch_size: int = 0
    """Sequences per step."""
    micro_batch_size: int = 0
    """Sequences per forward pass; 0: as many as fit in memory and are fast. Gradients accumulate over the rest of the batch
    with the same result."""
    max_steps: int = 0
    """Length of the run; else it follows from max_time, from max_tokens or, with neither, from the depth rule."""
    max_tokens: int = 0
    """Length of the run in tokens."""
    max_time: float = 0.0
    """Length of the run in minutes: turned into steps by a short measurement before the first one."""
    eval_every: int = 0
    """Steps between measurements of the validation loss."""
    eval_tokens: int = 0
    """How many validation tokens are measured each time, from the start of the split."""
    save_every: int = 0
    """Steps between checkpoints; the last one and the best one are kept."""
    sample_every: int = 0
    """Steps between samples."""

    seed: int = 1
    """Of the weights, the order of the data and the dropout."""
    device: str = "auto"
    """cpu, cuda or auto."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Type of the activations; auto takes bf16 where a measurement shows it to be clearly faster."""
    attention: Literal["auto", "matmul", "sdpa"] = "auto"
    """Matrix products and a softmax, or torch's fused attention; auto takes what a measurement shows to be faster."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile each block with torch.compile: faster steps, after a minute or more; auto does so in long runs."""
    activation_checkpointing: bool = False
    """Keep only each block's input, and compute the rest again in the backward pass: slower by a third, far less memory."""
    tensor_parallel: int = 1
    """Processes that share the work on the same rows, of those that torchrun starts; the others share the rows (FSDP)."""
    tensorboard: bool = False
    """Also write TensorBoard events (needs lmcraft[tensorboard])."""
    resume: bool = False
    """Continue the run in `out` from its last checkpoint."""
