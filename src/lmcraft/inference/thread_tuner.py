"""Chooses the number of threads of a decode step by measurement: on a busy core, two are far slower than one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

TRIAL_STEPS_PER_CANDIDATE = 3
# Threads that slept may first run on the same core, until the system moves them: a slow candidate gets more steps.
MAX_TRIAL_STEPS = 10
STEPS_BETWEEN_TRIALS = 200
SLOW_STEP_RATIO = 1.5  # a step this many times slower than usual suggests that another program uses our cores


class ThreadTuner:
    """Tries one thread and all of them, keeps the faster, and tries again regularly, or as soon as steps become slow.

    Args:
        max_threads: the larger candidate.
    """

    def __init__(self, max_threads: int) -> None:
        self._candidates = sorted({1, max(1, max_threads)})
        self._trials: list[int] = []
        self._seconds: dict[int, list[float]] = {}
        self._start_trials()

    @property
    def threads(self) -> int:
        """The number of threads of the next step."""
        return self._trials[0] if self._trials else self._best

    @property
    def uses_all_threads(self) -> bool:
        """Whether all threads were measured to be the faster choice."""
        return not self._trials and self._best == self._candidates[-1]

    def skip_trials(self) -> None:
        """Use all threads until the next regular trials."""
        self._trials = []

    @contextmanager
    def measure_step(self) -> Iterator[int]:
        """The number of threads for one step; measures how long it takes."""
        threads, start = self.threads, time.perf_counter()
        yield threads
        self._record(threads, time.perf_counter() - start)

    def _start_trials(self) -> None:
        self._trials = [threads for threads in self._candidates for _ in range(TRIAL_STEPS_PER_CANDIDATE)]
        self._seconds = {threads: [] for threads in self._candidates}
        self._best = self._candidates[-1]
        self._num_steps = self._num_slow = 0
        self._usual = 0.0

    def _record(self, threads: int, seconds: float) -> None:
        if self._trials:
            self._trials.pop(0)
            self._seconds[threads].append(seconds)
            if threads > 1 and len(self._seconds[threads]) < MAX_TRIAL_STEPS and not self._trials:
                self._trials = [threads] * (min(self._seconds[threads]) > min(self._seconds[1]))
            if not self._trials:
                self._best = min(self._candidates, key=lambda count: min(self._seconds[count]))
                self._usual = min(self._seconds[self._best])
            return
        self._num_steps += 1
        self._usual = self._usual or seconds
        slow = self._best > 1 and seconds > SLOW_STEP_RATIO * self._usual
        self._num_slow = self._num_slow + 1 if slow else 0
        if self._num_slow >= TRIAL_STEPS_PER_CANDIDATE or self._num_steps >= STEPS_BETWEEN_TRIALS:
            self._start_trials()


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limit PyTorch to one thread: its idle threads spin on the cores that the native step needs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
