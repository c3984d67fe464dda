"""The micro-batches of each step, read while the previous step is computed."""

from concurrent.futures import Future, ThreadPoolExecutor

from lmcraft.data.loader import Batch, Dataset
from lmcraft.training.processes import Processes


class Prefetcher:
    """A process's rows of each step.

    Args:
        rows: of the run.
        batch_size: rows per step in all processes.
        micro_batch_size: rows per micro-batch, a divisor of this process's rows of a step.
        processes: the processes of the run.
    """

    def __init__(self, rows: Dataset, batch_size: int, micro_batch_size: int, processes: Processes) -> None:
        self._rows, self._batch_size, self._size, self._processes = rows, batch_size, micro_batch_size, processes
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._next: tuple[int, Future[list[Batch]]] | None = None

    def micro_batches(self, step: int) -> list[Batch]:
        """The rows of a step; starts reading those of the next one."""
        if self._next is None or self._next[0] != step:
            self._next = step, self._reader.submit(self._read, step)
        batches = self._next[1].result()
        self._next = step + 1, self._reader.submit(self._read, step + 1)
        return batches

    def _read(self, step: int) -> list[Batch]:
        count = self._batch_size // self._processes.data_count
        first = step * self._batch_size + self._processes.data_rank * count
        return [self._rows.batch(range(start, start + self._size)) for start in range(first, first + count, self._size)]
