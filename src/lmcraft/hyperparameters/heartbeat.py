"""A thread that keeps the lease of a worker's trial, and stops the training when the lease or a limit is gone."""

import os
import signal
from collections.abc import Callable
from threading import Event, Lock, Thread
from types import TracebackType

from lmcraft.hyperparameters.store import LeaseLostError, StoreError, TrialStore
from lmcraft.hyperparameters.trial import Totals, Trial, TrialResult

BEAT_SECONDS = 5.0
MIN_SECONDS_BETWEEN_BEATS = 0.5
STOP_SIGNAL = signal.SIGHUP  # to this process itself; training saves its state and ends


class Heartbeat:
    """Beats from `with` on, with the progress of the trial that the worker holds.

    Args:
        store: the table of trials.
        limit: which limit of the search is reached by what it has used; empty: none.
        seconds: between two beats.
    """

    def __init__(self, store: TrialStore, limit: Callable[[Totals], str], seconds: float = BEAT_SECONDS) -> None:
        self._store, self._limit, self._seconds = store, limit, seconds
        self._trial: Trial | None = None
        self._result: TrialResult | None = None
        self._is_lost = False
        self._lock, self._news, self._end = Lock(), Event(), Event()
        self._thread = Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._news.set()
        self._thread.join()

    def hold(self, trial: Trial) -> None:
        """Keep the lease of a trial from now on."""
        with self._lock:
            self._trial, self._result, self._is_lost = trial, None, False

    def report(self, result: TrialResult) -> None:
        """Write what the trial has reached, with the next beat, which is soon if a step was saved."""
        latest, self._result = self._result, result
        if latest is None or result.step > latest.step:
            self._news.set()

    def drop(self) -> tuple[bool, TrialResult | None]:
        """Keep the lease no longer; returns whether it is lost already, and what the trial reported last."""
        with self._lock:
            self._trial = None
            return self._is_lost, self._result

    def _run(self) -> None:
        while not self._end.wait(MIN_SECONDS_BETWEEN_BEATS):
            self._beat()
            self._news.wait(self._seconds - MIN_SECONDS_BETWEEN_BEATS)
            self._news.clear()

    def _beat(self) -> None:
        with self._lock:
            try:
                totals = self._store.beat(self._trial, self._result)
                if self._trial is not None and self._limit(totals):
                    os.kill(os.getpid(), STOP_SIGNAL)
            except LeaseLostError:
                self._trial, self._is_lost = None, True
                os.kill(os.getpid(), STOP_SIGNAL)
            except StoreError:
                pass  # while the database is away, the lease may end; the next beat knows
