"""What every side of the comparison shares: the shapes, the random text, the clock and the row that it prints.

Imported in the peers' own Python too, so it needs torch alone.
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
    """Sizes that all architectures here can have; their blocks and output projections then have as many weights."""

    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int  # of a SwiGLU; nanochat's two matrices of 4 x hidden_size have as many weights
    tied: bool
    tokens: int  # in a step, unless --tokens says otherwise

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
WARMUP = 1  # steps that are not counted: the first compiles, and makes the optimizer's state


@dataclass(frozen=True)
class Task:
    """What a side has to do."""

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
        """Rows of a step."""
        return max(1, self.tokens // self.length)

    @property
    def all_steps(self) -> int:
        """Steps to take: the warm-up and those that count."""
        return WARMUP + self.steps

    def ids(self) -> torch.Tensor:
        """Random token ids for all steps, (steps * rows, length + 1)."""
        generator = torch.Generator().manual_seed(1)
        return torch.randint(self.shape.vocab_size, (self.all_steps * self.rows, self.length + 1), generator=generator)


class Clock:
    """Times of the steps, each from the end of one to the end of the next, so that nothing in between is left out."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.begun, self.before = time.perf_counter(), 0.0  # seconds by the wall until the end of the first step
        self.last = self.now()
        self.steps: list[float] = []
        self.optimizer: list[float] = []  # the optimizer's part of each

    def now(self) -> float:
        return now(self.task)

    def tick(self) -> None:
        """A step has ended."""
        now = self.now()
        self.before = self.before or time.perf_counter() - self.begun
        self.steps.append(now - self.last)
        self.last = now

    def watch(self, *_: Any) -> None:
        """The optimizer begins."""
        self._begun = self.now()

    def watched(self, *_: Any) -> None:
        """The optimizer has ended."""
        self.optimizer.append(self.now() - self._begun)

    def follow_torch(self) -> None:
        """Take a step to end where the step of a torch optimizer does, whoever calls it."""
        register_optimizer_step_pre_hook(self.watch)
        register_optimizer_step_post_hook(lambda *_: (self.watched(), self.tick()))


def now(task: Task) -> float:
    """Seconds; of the processor (a thread's share) where other work runs on the machine and --clock=processor says so."""
    if task.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() if task.clock == "wall" else time.process_time() / torch.get_num_threads()


def matmul_peak(task: Task) -> float:
    """Operations a second of a square matrix product in bf16: the best of many, as some will be disturbed."""
    size = 1024 if task.device == "cpu" else 8192
    a, b = (torch.randn(size, size, device=task.device).to(torch.bfloat16) for _ in range(2))
    best = float("inf")
    for _ in range(30):
        begun = now(task)
        a @ b
        best = min(best, now(task) - begun)
    return 2 * size**3 / best


def peak_memory(device: str) -> int:
    """Bytes that this process has held at most (of the GPU, on one)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(task: Task, clock: Clock, what: str, parameters: int) -> None:
    """Print the side's row as JSON, on a line that the runner knows by its first word."""
    memory = peak_memory(task.device)
    counted = clock.steps[-task.steps :]
    seconds = statistics.median(counted)
    row = {
        "what": what,
        "tokens_per_second": task.rows * task.length / seconds,
        "seconds": seconds,
        "spread": (max(counted) - min(counted)) / seconds,
        "optimizer_seconds": statistics.median(clock.optimizer[-task.steps :]),
        "before_seconds": clock.before - seconds,
        "memory": memory,
        "peak_flops": matmul_peak(task),
        "parameters": parameters,
        "threads": torch.get_num_threads(),
        "all_seconds": clock.steps,
    }
    print(f"ROW {json.dumps(row)}", flush=True)


def missing(what: str) -> None:
    """Say that the peer is not there, and end."""
    print(f"ROW {json.dumps({'missing': what})}", flush=True)
    sys.stdout.flush()
    os._exit(0)
