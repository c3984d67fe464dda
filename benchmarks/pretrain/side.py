"""Shared by all sides of the comparison: model shapes, random token ids, the clock and the printed row.

The peers' Python environments import it too, so it depends on torch only.
"""

import json
import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


@dataclass(frozen=True)
class Shape:
    """Sizes that all compared architectures support, with the same number of weights in blocks and output projection."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int  # of a SwiGLU; nanochat's two matrices of 4 x hidden_size have the same number of weights
    tied: bool
    tokens: int  # per step, unless --tokens is given

    @property
    def matrices(self) -> int:
        """Weights of the blocks' matrices."""
        return self.layers * self.hidden_size * (4 * self.hidden_size + 3 * self.intermediate_size)

    def flops_per_token(self, length: int) -> int:
        """6 N + 12 L H Q T (PaLM, arXiv 2204.02311, appendix B), N the matrices and the output projection."""
        return 6 * (self.matrices + self.vocab_size * self.hidden_size) + 12 * self.layers * self.hidden_size * length


SHAPES = {
    "17M": Shape(8192, 384, 6, 6, 1024, tied=False, tokens=8192),
    "124M": Shape(50_304, 768, 12, 12, 2048, tied=True, tokens=2048),
}
MAX_PEAK_SECONDS = 2.0  # for each type, after which no further product is measured
WARMUP_STEPS = 1  # not measured: the first step compiles, and allocates the optimizer's state


@dataclass(frozen=True)
class Task:
    """The work of one side."""

    shape: Shape
    length: int
    tokens: int
    steps: int
    by_hand: bool
    device: str
    clock: str
    save_every: int = 0

    @property
    def rows(self) -> int:
        """Rows per step."""
        return max(1, self.tokens // self.length)

    @property
    def all_steps(self) -> int:
        """All steps: warm-up and measured."""
        return WARMUP_STEPS + self.steps

    def ids(self) -> torch.Tensor:
        """Random token ids for all steps, (steps * rows, length + 1)."""
        generator = torch.Generator().manual_seed(1)
        return torch.randint(self.shape.vocab_size, (self.all_steps * self.rows, self.length + 1), generator=generator)


class Clock:
    """Durations of the steps, each from the end of the previous step, so that nothing in between is left out."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.start, self.before = time.perf_counter(), 0.0  # wall-clock seconds until the end of the first step
        self.last = self.now()
        self.steps: list[float] = []
        self.optimizer: list[float] = []  # the optimizer's part of each

    def now(self) -> float:
        return now(self.task)

    def end_step(self) -> None:
        """Record the end of a step."""
        now = self.now()
        self.before = self.before or time.perf_counter() - self.start
        self.steps.append(now - self.last)
        self.last = now

    def start_optimizer(self, *_: Any) -> None:
        """Record the start of the optimizer's step."""
        self._optimizer_start = self.now()

    def end_optimizer(self, *_: Any) -> None:
        """Record the end of the optimizer's step."""
        self.optimizer.append(self.now() - self._optimizer_start)

    def hook_torch_optimizers(self) -> None:
        """Let every step end with the step of a torch optimizer, by global hooks."""
        register_optimizer_step_pre_hook(self.start_optimizer)
        register_optimizer_step_post_hook(lambda *_: (self.end_optimizer(), self.end_step()))


def now(task: Task) -> float:
    """The time in seconds; with --clock=processor, processor time per thread, for machines with other load."""
    if task.device != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter() if task.clock == "wall" else time.process_time() / torch.get_num_threads()


def matmul_peak(task: Task) -> float:
    """Floating-point operations per second of a square matrix product in bf16 or fp32, whichever is faster.

    The best of 30, since some are disturbed; where bf16 is emulated, one takes seconds.
    """
    size = 1024 if task.device == "cpu" else 8192
    best = float("inf")
    for dtype in (torch.float32, torch.bfloat16):
        a, b = (torch.randn(size, size, device=task.device).to(dtype) for _ in range(2))
        begin = now(task)
        for _ in range(30):
            start = now(task)
            a @ b
            best = min(best, now(task) - start)
            if now(task) - begin > MAX_PEAK_SECONDS:
                break
    return 2 * size**3 / best


def peak_memory(device: str) -> int:
    """Peak memory of this process in bytes; on a GPU, of its memory."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if device == "mps":
        return torch.mps.driver_allocated_memory()  # now; the peak is not known
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(task: Task, clock: Clock, setup: str, parameters: int) -> None:
    """Print the side's row as JSON, on a line that begins with ROW."""
    memory = peak_memory(task.device)
    measured = clock.steps[-task.steps :]
    seconds = statistics.median(measured)
    row = {
        "what": setup,
        "tokens_per_second": task.rows * task.length / seconds,
        "seconds": seconds,
        "spread": (max(measured) - min(measured)) / seconds,
        "optimizer_seconds": statistics.median(clock.optimizer[-task.steps :]),
        "before_seconds": clock.before - seconds,
        "memory": memory,
        "peak_flops": matmul_peak(task),
        "parameters": parameters,
        "threads": torch.get_num_threads(),
        "all_seconds": clock.steps,
    }
    print(f"ROW {json.dumps(row)}", flush=True)


def report_missing(reason: str) -> None:
    """Print that the peer is missing, and exit."""
    print(f"ROW {json.dumps({'missing': reason})}", flush=True)
    sys.stdout.flush()
    os._exit(0)
