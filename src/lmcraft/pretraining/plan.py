"""A plan: the memory, time and energy of a run, before it starts (`lmcraft.pretraining.estimation`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.energy import Emissions, Energy

if TYPE_CHECKING:
    from lmcraft.data.mixture import SourceUse  # imports numpy, which --help does without


@dataclass(frozen=True)
class PrivateChoice:
    """A size, a batch and a length for a private run."""

    name: str
    """Whose choice it is; empty: that of the plan."""
    depth: int
    parameters: int
    batch_size: int
    """Documents per step, on average."""
    steps: int
    noise_multiplier: float
    """About, unless it is the plan's."""
    loss: float
    """By the law of private training, for comparisons only: the text of the law's runs was another."""


@dataclass(frozen=True)
class PrivacyPlan:
    """How a run keeps its privacy budget."""

    units: int
    """Documents in the training data."""
    row_tokens: float
    """Tokens that a step reads of a document, on average."""
    epsilon: float
    delta: float
    """In all."""
    truncation_delta: float
    """The part of `delta` that pays for `max_rows`."""
    sampling_rate: float
    """Probability that a document is in a batch."""
    max_rows: int
    """Documents of a batch at most."""
    best: PrivateChoice
    others: list[PrivateChoice]
    """What ordinary training would use."""
    outside: list[str]
    """What the law's runs did not cover."""


@dataclass(frozen=True)
class Plan:
    """The estimate for a run. Memory is in bytes, time in seconds."""

    parameters: int
    embedding_parameters: int
    """Those of `parameters` in the embeddings and the output projection."""
    tokens: int
    compute_optimal_tokens: int
    """20 per parameter (arXiv 2203.15556, table 3)."""
    epochs: float
    """Passes over the training text."""
    mixture: "list[SourceUse]"
    """How much of each source is read; empty if the dataset was not made from a recipe."""
    warnings: list[str]
    """Sentences about text that is read too often."""
    steps: int
    batch_size: int
    micro_batch_size: int
    sequence_length: int
    flops_per_token: int
    flops: float
    tokens_per_second: float
    computing: str
    """Data type and device of the measurement; empty: the speed follows from `tflops`."""
    share_of_peak: float | None
    """The speed relative to a large matrix product on this machine, if that was measured."""
    memory: dict[str, int]
    """By part; the sum is the peak memory of the run."""
    total_memory: int
    """Of this machine, in bytes; 0: the plan is for a GPU that may be another machine's."""
    seconds: dict[str, float]
    """By part, from the start of the command to its end."""
    joules: dict[str, float]
    """By part."""
    energy: Energy
    """Of the whole command, by the meter that the run will have."""
    energy_kwh: float
    emissions: Emissions
    privacy: PrivacyPlan | None = None
    """None: without differential privacy."""
