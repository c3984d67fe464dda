"""How many threads a decode step gets: measured, because a busy core makes two threads far slower than one."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

LEARN = 3  # steps with each number of threads before one is chosen
AGAIN = 200  # steps after which the others are tried again
SLOWER = 1.5  # a step that takes so many times the usual is a sign of another program on our cores


class ThreadChoice:
    """Tries one thread and all of them, keeps the faster, and looks again now and then, or when steps become slow.

    Args:
        most: threads at the most.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._candidates = sorted({1, max(1, most)})
        self._times: dict[int, list[float]] = {}
        self._begin()

    @property
    def threads(self) -> int:
        """For the next step."""
        return self._trials[0] if self._trials else self._best

    @property
    def usual(self) -> float:
        """Seconds of a step, as far as is known; 0 before the first."""
        return self._usual or min((min(times) for times in self._times.values() if times), default=0.0)

    @contextmanager
    def measured(self) -> Iterator[int]:
        """The number of threads for one step, whose time is taken."""
        threads, begun = self.threads, time.perf_counter()
        yield threads
        self._learn(threads, time.perf_counter() - begun)

    def _begin(self) -> None:
        self._trials = [threads for threads in self._candidates for _ in range(LEARN)]
        self._times = {threads: [] for threads in self._candidates}
        self._best = self._candidates[-1]
        self._since = self._slow = 0
        self._usual = 0.0

    def _learn(self, threads: int, seconds: float) -> None:
        if self._trials:
            self._trials.pop(0)
            self._times[threads].append(seconds)
            if not self._trials:
                self._best = min(self._candidates, key=lambda count: min(self._times[count]))
                self._usual = min(self._times[self._best])
            return
        self._since += 1
        slow = self._best > 1 and seconds > SLOWER * self._usual
        self._slow = self._slow + 1 if slow else 0
        if self._slow >= LEARN or self._since >= AGAIN:
            self._begin()


@contextmanager
def one_thread() -> Iterator[None]:
    """PyTorch with one thread: its waiting threads spin, and would take the cores that the native step is about to use."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
