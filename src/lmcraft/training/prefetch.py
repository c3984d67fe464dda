"""The micro-batches of each step, read while the previous step is computed."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetcher(Generic[T]):
    """Reads what each step needs one step ahead.

    Args:
        read: what a step needs, by its number.
    """

    def __init__(self, read: Callable[[int], T]) -> None:
        self._read = read
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next: tuple[int, Future[T]] | None = None

    def get(self, step: int) -> T:
        """What a step needs; starts reading what the next one does."""
        if self._next is None or self._next[0] != step:
            self._next = step, self._reader.submit(self._read, step)
        result = self._next[1].result()
        self._next = step + 1, self._reader.submit(self._read, step + 1)
        return result
