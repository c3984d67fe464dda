"""Choose the micro-batch: as many rows as fit in memory, and on a CPU no more than are fast."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from lmcraft.errors import UserError
from lmcraft.machine import Machine, free_memory
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.terminal import format_bytes
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.memory import BYTES_PER_FLOAT, activation_bytes, state_bytes
from lmcraft.training.objective import Objective

# With fewer tokens a CPU spends more time reading weights than computing; more tokens gain nothing. Measured in models of
# 14M and 117M parameters (docs/lab-notes.md).
CPU_TOKENS_PER_MICRO_BATCH = {torch.bfloat16: 4096, torch.float32: 1024}
MAX_SHARE_OF_FREE_MEMORY = 0.8  # the remainder is for logits, validation and estimation errors


@dataclass(frozen=True)
class StepMemory:
    """Memory of a training step in bytes, as a function of the rows in its micro-batch."""

    weights: int
    """Weights, gradients and optimizer state."""
    first_row: int
    """Activations of a micro-batch of one row."""
    next_row: int
    """Activations of each further row."""

    def bytes(self, rows: int) -> int:
        return self.weights + self.first_row + (rows - 1) * self.next_row


def estimate_step_memory(
    config: TransformerConfig,
    objective: Objective,
    optimizer: OptimizerConfig,
    length: int,
    dtype: torch.dtype,
    *,
    checkpointing: bool,
) -> StepMemory:
    """The memory of a step on rows of `length` tokens. With experts, activations count as 0: they depend on the routing."""
    with torch.device("meta"):
        model = Transformer(config)
    weights = 2 * BYTES_PER_FLOAT * model.num_parameters() + state_bytes(model, optimizer)
    if config.num_experts:
        return StepMemory(weights, 0, 0)
    one, two = (activation_bytes(config, objective, rows, length, dtype, checkpointing=checkpointing) for rows in (1, 2))
    return StepMemory(weights, one, two - one)


def choose_micro_batch(
    memory: StepMemory, batch_size: int, length: int, machine: Machine, *, divides: bool = True
) -> tuple[int, str]:
    """The rows of a micro-batch, a divisor of the batch size if `divides`, and a message that explains the choice.

    Raises:
        UserError: not even a single row fits.
    """
    free = free_memory(machine.device)
    on_cpu = machine.device.type == "cpu"
    max_rows = max(1, CPU_TOKENS_PER_MICRO_BATCH[machine.dtype] // length) if on_cpu else batch_size
    counts = _divisors(batch_size, max_rows) if divides else range(min(batch_size, max_rows), 0, -1)
    fitting = (n for n in counts if memory.bytes(n) <= MAX_SHARE_OF_FREE_MEMORY * free)
    rows = next(fitting, 0)
    if not rows:
        raise UserError(
            f"a training step of one row of {length} tokens needs {format_bytes(memory.bytes(1))}, but only "
            f"{format_bytes(MAX_SHARE_OF_FREE_MEMORY * free)} may be used: choose a smaller depth or sequence_length, "
            "or add --activation-checkpointing"
        )
    used = f"{format_bytes(memory.bytes(rows))} of {format_bytes(free)} free"
    return rows, f"micro-batches of {rows} x {length} tokens: {used}"


def fast_rows(batch_size: int, length: int, tokens: int) -> int:
    """The largest divisor of the batch whose rows of `length` have at most `tokens` tokens."""
    return next(_divisors(batch_size, max(1, tokens // length)))


def _divisors(batch_size: int, largest: int) -> Iterator[int]:
    return (rows for rows in range(min(batch_size, largest), 0, -1) if batch_size % rows == 0)
