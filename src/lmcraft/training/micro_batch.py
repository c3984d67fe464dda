"""The micro-batch: the largest that fits in memory, and on a CPU no larger than is fast."""

from collections.abc import Callable, Iterator

import torch

from lmcraft.errors import UserError
from lmcraft.machine import free_memory
from lmcraft.model.config import TransformerConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.memory import FLOAT, activation_bytes, state_bytes
from lmcraft.training.objective import Objective

# On a CPU fewer tokens at once read the weights more often than the arithmetic hides, and more gain nothing: so many
# were as fast as any other number, in models of 14M and 117M parameters (docs/lab-notes.md).
FAST_TOKENS = 4096
SHARE = 0.8  # of the free memory: the rest is for logits, validation and what the estimate does not know


def choose_micro_batch(
    config: TransformerConfig,
    objective: Objective,
    optimizer: OptimizerConfig,
    batch_size: int,
    length: int,
    device: torch.device,
    dtype: torch.dtype,
    *,
    checkpointing: bool,
) -> tuple[int, str]:
    """Rows of a micro-batch, a divisor of the batch, and the choice in one sentence.

    Raises:
        UserError: the weights alone do not fit, or a single row does not.
    """
    with torch.device("meta"):
        model = Transformer(config)
    free = free_memory(device)
    weights = 2 * FLOAT * model.num_parameters() + state_bytes(model, optimizer)  # with gradients
    needed = _bytes_of_rows(config, objective, length, dtype, checkpointing=checkpointing)
    most = fast_rows(batch_size, length, FAST_TOKENS) if device.type == "cpu" else batch_size
    rows = next((rows for rows in _divisors(batch_size, most) if weights + needed(rows) <= SHARE * free), 0)
    if not rows:
        raise UserError(
            f"a training step of one row of {length} tokens takes {(weights + needed(1)) / 2**30:.1f} GiB, and "
            f"{SHARE * free / 2**30:.1f} GiB may be used: choose a smaller depth or sequence_length, "
            "or add --activation-checkpointing"
        )
    size = (weights + needed(rows)) / 2**30
    return rows, f"micro-batches of {rows} x {length} tokens: {size:.1f} GiB of {free / 2**30:.1f} GiB free"


def fast_rows(batch_size: int, length: int, tokens: int) -> int:
    """The largest divisor of the batch that has at most so many tokens."""
    return next(_divisors(batch_size, max(1, tokens // length)))


def _divisors(batch_size: int, most: int) -> Iterator[int]:
    return (rows for rows in range(min(batch_size, most), 0, -1) if batch_size % rows == 0)


def _bytes_of_rows(
    config: TransformerConfig, objective: Objective, length: int, dtype: torch.dtype, *, checkpointing: bool
) -> Callable[[int], int]:
    """What a number of rows leaves for the backward pass: so much for each, and something that all share."""
    if config.num_experts:  # how many tokens an expert gets is not known without numbers: nothing is reckoned
        return lambda rows: 0
    one, two = (activation_bytes(config, objective, rows, length, dtype, checkpointing=checkpointing) for rows in (1, 2))
    return lambda rows: one + (rows - 1) * (two - one)
