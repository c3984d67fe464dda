"""The workers of this process: started, replaced when they die, and stopped together."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from lmcraft.errors import InterruptedRunError, LmcraftError, RunError, UserError
from lmcraft.hyperparameters.store import MAX_ATTEMPTS
from lmcraft.hyperparameters.worker import NEXT, Job, Outcome
from lmcraft.processor import usable_cpus
from lmcraft.training.signals import StopRequest, stop_on_signals

POLL_SECONDS = 0.2
THREADS = "OMP_NUM_THREADS"
# A terminal sends SIGINT to the workers, too; the parent tells them what to do.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from lmcraft.hyperparameters.worker import main
main()
"""


@dataclass
class Crew:
    """Workers of one search on this machine."""

    job: Job
    count: int
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _deaths: int = 0
    """In a row, without progress of any trial."""
    _progress: int = 0

    def run(self, watch: Callable[[], int]) -> str:
        """Work until the search is over; returns why, if a limit ended it.

        Args:
            watch: called all the time; returns a number that grows with the progress of the trials.

        Raises:
            InterruptedRunError: a signal came; the running trials are saved.
            UserError, RunError: a worker cannot go on, and nor could another.
        """
        try:
            with stop_on_signals() as stop:
                self._processes = [self._start() for _ in range(self.count)]
                return self._supervise(stop, watch)
        finally:
            for process in self._processes:
                process.kill()  # no effect on those that have ended
                process.wait()
                _read_outcome(process)  # closes its pipes

    def _supervise(self, stop: StopRequest, watch: Callable[[], int]) -> str:
        reason = ""
        while self._processes:
            if stop:
                self._end_all(watch)
                raise InterruptedRunError("stopped by a signal, and saved", stop.signal_number)
            progress = watch()
            if progress > self._progress:
                self._progress, self._deaths = progress, 0
            for process in [process for process in self._processes if process.poll() is not None]:
                self._processes.remove(process)
                outcome = _read_outcome(process)
                if outcome is not None and outcome.status == 0:
                    reason = reason or outcome.text
                elif outcome is not None and outcome.status == NEXT:
                    self._processes.append(self._start())
                elif not stop:
                    self._replace(process, outcome, watch)
            time.sleep(POLL_SECONDS)
        watch()
        return reason

    def _replace(self, process: subprocess.Popen[bytes], outcome: Outcome | None, watch: Callable[[], int]) -> None:
        """Start a worker in place of one that died.

        Raises:
            UserError, RunError: it ended with an error that the next would meet, too, or workers die all the time.
        """
        if outcome is not None and outcome.status < 128:
            self._end_all(watch)
            kind: type[LmcraftError] = UserError if outcome.status == UserError.exit_status else RunError
            raise kind(outcome.text)
        self._deaths += 1
        if self._deaths > MAX_ATTEMPTS * self.count:
            self._end_all(watch)
            how = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"status {process.returncode}"
            logs = self.job.out / "trials"
            raise RunError(f"{self._deaths} workers in a row ended without progress, the last with {how}: see '{logs}'")
        self._processes.append(self._start())

    def _start(self) -> subprocess.Popen[bytes]:
        cores = usable_cpus()
        environment = {THREADS: str(max(1, cores // self.count))} | os.environ
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already
            process.stdin.write(pickle.dumps(self.job))
            process.stdin.flush()
        return process

    def _end_all(self, watch: Callable[[], int]) -> None:
        """Have all workers save their trials, and wait for them. SIGTERM, since a terminal sends them SIGINT, too."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # one that is stopped would never end
        while any(process.poll() is None for process in self._processes):
            watch()
            time.sleep(POLL_SECONDS)


def _read_outcome(process: subprocess.Popen[bytes]) -> Outcome | None:
    """What a worker that has ended reported; None if it died."""
    assert process.stdout is not None and process.stdin is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    line = b""
    with process.stdout, suppress(BlockingIOError):
        os.set_blocking(process.stdout.fileno(), False)  # a process that the worker started may still live
        line = os.read(process.stdout.fileno(), 2**16)
    return Outcome(**json.loads(line)) if line.endswith(b"\n") else None
