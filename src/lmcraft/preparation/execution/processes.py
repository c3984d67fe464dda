"""Runs units in processes of this machine: starts them, watches them, and replaces those that end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from lmcraft.errors import InterruptedRunError
from lmcraft.preparation.contracts import Unit, UnitResult
from lmcraft.preparation.execution.schedule import Schedule
from lmcraft.preparation.execution.task import Answer
from lmcraft.preparation.execution.worker_process import WorkerProcess
from lmcraft.training.signals import StopRequest, stop_on_signals

POLL_SECONDS = 0.2


@dataclass
class Processes:
    """An executor of worker processes, which stay from one step to the next.

    Args:
        workers: the most that run at the same time.
        document_seconds: the longest that a worker may read one document.
    """

    workers: int
    document_seconds: float
    _crew: list[WorkerProcess] = field(default_factory=list, init=False)

    def run(self, units: Sequence[Unit], work: Path, report: Callable[[UnitResult], None]) -> None:
        """Run units.

        Raises:
            InterruptedRunError: a signal came.
            RunError, UserError: a unit cannot be done, or the disk is full.
        """
        try:
            with stop_on_signals() as stop:
                self._run(Schedule(units, work), report, stop)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End all workers."""
        while self._crew:
            self._crew.pop().end()

    def _run(self, schedule: Schedule, report: Callable[[UnitResult], None], stop: StopRequest) -> None:
        while not schedule.is_complete:
            self._assign(schedule)
            busy = [worker for worker in self._crew if worker.unit]
            wait([worker.fileno() for worker in busy], timeout=POLL_SECONDS)
            if stop:
                raise InterruptedRunError("stopped by a signal; the same command continues", stop.signal_number)
            for worker in busy:
                answer = worker.look()
                if answer is not None:
                    self._settle(worker, answer, schedule, report)

    def _assign(self, schedule: Schedule) -> None:
        """Give units to workers without one; more are started if there is work for them."""
        while len(self._crew) < min(self.workers, schedule.count):
            self._crew.append(WorkerProcess(schedule.journal.work, self.document_seconds))
        for worker in self._crew:
            if worker.unit is None and (task := schedule.take()):
                worker.begin(task)

    def _settle(
        self, worker: WorkerProcess, answer: Answer, schedule: Schedule, report: Callable[[UnitResult], None]
    ) -> None:
        assert worker.unit is not None
        key, worker.unit = worker.unit.key, None
        if not worker.is_alive:
            self._crew.remove(worker)
        result = schedule.settle(key, answer)
        if result is not None:
            report(result)
