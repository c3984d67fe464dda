"""The micro-batch fits in memory, divides the batch, and is no larger than the fastest size."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.machine import Machine
from lmcraft.training import micro_batch
from lmcraft.training.config import OptimizerConfig
from lmcraft.training.micro_batch import StepMemory, choose_micro_batch, estimate_step_memory, fast_rows
from lmcraft.training.objective import NextToken
from tests.tiny import tiny_config

CPU = Machine(torch.device("cpu"), torch.float32)
MEMORY = StepMemory(weights=1000, first_row=200, next_row=100)


def choose(free: int, monkeypatch: pytest.MonkeyPatch, batch_size: int = 12, length: int = 64) -> int:
    monkeypatch.setattr(micro_batch, "free_memory", lambda device: free)
    rows, why = choose_micro_batch(MEMORY, batch_size, length, CPU)
    assert why.startswith(f"micro-batches of {rows} x {length} tokens: ")
    return rows


def test_the_micro_batch_fits_and_divides_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    share = micro_batch.MAX_SHARE_OF_FREE_MEMORY
    assert [choose(round(size / share) + 1, monkeypatch) for size in (1200, 1290, 1300, 1600, 1700, 9999)] == [
        1,
        1,
        2,
        4,
        6,
        12,
    ]
    assert choose(2**40, monkeypatch, batch_size=1024) == micro_batch.CPU_TOKENS_PER_MICRO_BATCH[torch.float32] // 64
    with pytest.raises(UserError, match=r"one row of 64 tokens needs 1.2 KiB, but .*--activation-checkpointing"):
        choose(1000, monkeypatch)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_memory_of_a_step_grows_with_its_rows(checkpointing: bool) -> None:
    memory = estimate_step_memory(
        tiny_config(), NextToken(), OptimizerConfig(), 32, torch.float32, checkpointing=checkpointing
    )
    assert memory.bytes(1) == memory.weights + memory.first_row
    assert memory.bytes(3) - memory.bytes(2) == memory.bytes(2) - memory.bytes(1) == memory.next_row > 0


def test_fast_rows_divide_the_batch() -> None:
    assert [fast_rows(12, 64, tokens) for tokens in (1, 64, 320, 10_000)] == [1, 1, 4, 12]
