"""A plan: the memory, time and energy of a run, before it starts (`lmcraft.pretraining.estimation`)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lmcraft.energy import Emissions, Energy

if TYPE_CHECKING:
    from lmcraft.data.mixture import SourceUse  # imports numpy, which --help does without


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
