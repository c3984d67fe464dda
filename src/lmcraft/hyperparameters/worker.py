"""A process that leases trials and trains them, until the search is over or a signal comes.

Its parent (`crew.py`) sends a `Job` through standard input, which stays open: when it is closed, the parent has ended, and
so does the worker. The `Outcome` goes back through standard output. A worker that is killed sends none.
"""

import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Protocol

from lmcraft.energy.meter import open_meter
from lmcraft.energy.reading import Reading
from lmcraft.errors import InterruptedRunError, LmcraftError, RunError, UserError, explain_os_error
from lmcraft.folder.lock import lock_folder
from lmcraft.hyperparameters.heartbeat import BEAT_SECONDS, STOP_SIGNAL, Heartbeat
from lmcraft.hyperparameters.holder import process_name
from lmcraft.hyperparameters.scheduling import Decision, Done, Wait
from lmcraft.hyperparameters.store import LEASE_SECONDS, LeaseLostError, TrialStore
from lmcraft.hyperparameters.trial import State, Totals, Trial, TrialResult, trial_folder
from lmcraft.json_lines import format_json_line
from lmcraft.training.environment import set_up_environment

Report = Callable[[TrialResult], None]


class Work(Protocol):
    """What the workers of a search do. It can be pickled."""

    def warm_up(self) -> None:
        """Import what training needs, before a trial is held."""

    def decide(self, trials: Sequence[Trial], totals: Totals) -> Decision:
        """The next piece of work."""

    def limit(self, totals: Totals) -> str:
        """Which limit of the search is reached; empty: none."""

    def train(self, trial: Trial, folder: Path, report: Report) -> TrialResult:
        """Train a trial in a folder, continuing what is there, and report what it has reached so far.

        The result has no values if the trial has paused at its target step.
        """


LOG = "log.txt"
NEXT = 3  # the status of a worker whose trial has ended, and which leaves the next one to another process
IDLE_SECONDS = 1.0  # before a worker without work asks again
MAX_TEXT_CHARACTERS = 10_000  # so that an outcome fits into a pipe
MAX_LOCK_SECONDS = 10.0  # for a worker that lost the trial to leave its folder


@dataclass(frozen=True)
class Job:
    """What a worker does. It can be pickled."""

    storage: str
    """URL of the database."""
    name: str
    """Of the search."""
    out: Path
    work: Work
    fresh_processes: bool = False
    """Whether each trial has a process of its own, so that the memory of one is not counted for another."""
    lease_seconds: float = LEASE_SECONDS
    beat_seconds: float = BEAT_SECONDS
    lock_seconds: float = MAX_LOCK_SECONDS


@dataclass(frozen=True)
class Outcome:
    """How a worker ended."""

    status: int
    """0: the search is over, or `NEXT`; 128 + n: signal n; 1 or 2: an error that another worker would meet, too."""
    text: str = ""
    """Of the error, or why the search is over."""


class Worker:
    """Leases and trains one trial after the other.

    Args:
        job: what to do.
        begin: when the process began; None: now. What it draws between trials is counted for the next one.
    """

    def __init__(self, job: Job, begin: Reading | None = None) -> None:
        self.job, self.name = job, process_name()
        self.store = TrialStore.open(job.storage, job.name, job.lease_seconds)
        self.heartbeat = Heartbeat(self.store, job.work.limit, job.beat_seconds)
        self._signal_number = 0
        self._is_training = False
        self._meter, self._since = open_meter(), begin or open_meter().read()

    def run(self) -> Outcome:
        """Work until there is nothing to do or a signal comes.

        Raises:
            LmcraftError: something fails that is not the fault of a trial.
        """
        for number in (signal.SIGINT, signal.SIGTERM, STOP_SIGNAL):
            signal.signal(number, self._stop)
        with self.heartbeat:
            while not self._signal_number:
                lease = self.store.lease(self.name, self.job.work.decide)
                if isinstance(lease, Done):
                    return Outcome(0, lease.reason)
                if isinstance(lease, Wait):
                    time.sleep(IDLE_SECONDS)
                else:
                    self._take(lease)
                    if self.job.fresh_processes and not self._signal_number:
                        return Outcome(NEXT)
        return Outcome(128 + self._signal_number)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal while no training does; it ends a training that has not yet begun its steps."""
        if number != STOP_SIGNAL:
            self._signal_number = number
        if self._is_training:
            raise InterruptedRunError("stopped by a signal", number)

    def _take(self, trial: Trial) -> None:
        """Train a trial, unless a worker that lost it does not leave its folder: then it rests."""
        self.heartbeat.hold(trial)
        folder = trial_folder(self.job.out, trial.number)
        with suppress(LeaseLostError), ExitStack() as stack:
            if _lock(stack, folder, self.job.lock_seconds):
                self._train(trial, folder)
            else:
                self.heartbeat.drop()
                self.store.postpone(trial)

    def _train(self, trial: Trial, folder: Path) -> None:
        """Train a trial and write how it ended.

        Raises:
            LeaseLostError: another worker has it now.
            RunError: the machine is at fault, such as a full disk; the trial waits for another worker.
        """
        result: TrialResult | None = None
        state, error = State.WAITING, None
        with _redirect_output(folder / LOG):
            try:
                result = self._call(trial, folder)
                state = State.COMPLETE if result.values else State.PAUSED
            except InterruptedRunError as interruption:
                number = interruption.exit_status - 128
                self._signal_number = self._signal_number or (number if number != STOP_SIGNAL else 0)
            except KeyboardInterrupt:  # the second
                self._signal_number = signal.SIGINT
            except Exception as exception:
                error = _explain(exception)
                state = _state_after(error)
        is_lost, latest = self.heartbeat.drop()
        if is_lost:
            return
        self.store.finish(trial, state, result or latest, error=str(error or ""))
        if error is not None and state is State.WAITING:
            raise error

    def _call(self, trial: Trial, folder: Path) -> TrialResult:
        overhead = self._meter.energy(self._since).kwh

        def with_overhead(result: TrialResult) -> TrialResult:
            return replace(result, energy_kwh=result.energy_kwh + overhead)

        self._is_training = True
        try:
            return with_overhead(
                self.job.work.train(trial, folder, lambda result: self.heartbeat.report(with_overhead(result)))
            )
        finally:
            self._is_training = False
            self._since = self._meter.read()


def _explain(exception: Exception) -> LmcraftError:
    """The error for the user; prints it, or what an error that is not for the user needs."""
    if isinstance(exception, OSError):
        explained = explain_os_error(exception)
        explained.__cause__ = exception
        exception = explained
    if isinstance(exception, LmcraftError):
        print(f"lmcraft: {exception}", file=sys.stderr)
        return exception
    traceback.print_exception(exception)
    return RunError(f"{type(exception).__name__}: {exception}")


def _state_after(error: LmcraftError) -> State:
    """A command that refuses the settings makes the trial infeasible; an error of the machine is not the trial's fault."""
    if isinstance(error, UserError):
        return State.INFEASIBLE
    return State.WAITING if isinstance(error.__cause__, OSError) else State.FAILED


def _lock(stack: ExitStack, folder: Path, seconds: float) -> bool:
    """Hold the lock of a trial's folder until the stack is closed; returns whether it was free within the time."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    while True:
        try:
            stack.enter_context(lock_folder(folder, wait=False, create=True))
        except UserError:
            if time.monotonic() > begin + seconds:
                return False
            time.sleep(IDLE_SECONDS)
        else:
            return True


@contextmanager
def _redirect_output(file: Path) -> Iterator[None]:
    """Append to a file what this process and its libraries print, at the level of the system."""
    descriptors = (1, 2)
    saved = [os.dup(descriptor) for descriptor in descriptors]
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    _point(descriptors, [log, log])
    os.close(log)
    try:
        yield
    finally:
        _point(descriptors, saved)
        for descriptor in saved:
            os.close(descriptor)


def _point(descriptors: tuple[int, ...], targets: list[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for descriptor, target in zip(descriptors, targets, strict=True):
        os.dup2(target, descriptor)


def main() -> None:
    """Run the job from standard input, and write the outcome to standard output."""
    parent, results = os.dup(0), os.dup(1)  # the commands and their own processes get others
    with suppress(EOFError, pickle.UnpicklingError):  # the parent was killed while it started this process
        outcome = _run_job(parent)
        line = format_json_line({"status": outcome.status, "text": outcome.text[:MAX_TEXT_CHARACTERS]})
        with suppress(BrokenPipeError):
            os.write(results, line.encode())


def _run_job(parent: int) -> Outcome:
    try:
        begin = open_meter().read()
        job: Job = pickle.load(sys.stdin.buffer)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        Thread(target=_end_with, args=(parent,), name="watcher", daemon=True).start()
        set_up_environment()
        job.work.warm_up()
        return Worker(job, begin).run()
    except (LmcraftError, OSError) as exception:
        error = explain_os_error(exception) if isinstance(exception, OSError) else exception
        return Outcome(error.exit_status, str(error))


def _end_with(parent: int) -> None:
    """End this process when its parent ends, whatever it does."""
    while os.read(parent, 1):
        pass
    os._exit(1)
