"""The index of runs that the server has, kept up to date while somebody looks at it, and who may stop and resume runs."""

import asyncio
import threading
import time
from contextlib import suppress
from typing import Annotated

from fastapi import Depends, Request

from lmcraft.runs.index import RunIndex, UnknownRunError
from lmcraft.runs.run import Run
from lmcraft.server.errors import ApiError, shutdown_error
from lmcraft.server.http.state import server_state

ROUND_SECONDS, MAX_ROUND_SECONDS = 0.5, 1.5
REST_FACTOR = 10  # between two rounds, so many times as long as one takes
INTEREST_SECONDS = 60.0
"""After the last request nobody looks at the folder any more, until the next one."""
CHECK_SECONDS = 0.05


class WatchedRuns:
    """An index with a thread that refreshes it every `ROUND_SECONDS`, as long as requests come.

    Args:
        index: of the runs.
    """

    def __init__(self, index: RunIndex) -> None:
        self.index = index
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last_request = 0.0
        self._ends = threading.Event()

    def touch(self) -> None:
        """Note a request; the first one after a rest looks at the folder before it is answered."""
        with self._lock:
            self._last_request = time.monotonic()
            if self._thread is None and not self._ends.is_set():
                self.index.refresh()
                self._thread = threading.Thread(target=self._watch, name="runs", daemon=True)
                self._thread.start()

    def get(self, id: str) -> Run:
        """A run; for one that is not in the index yet, the folder is looked at first.

        Raises:
            UnknownRunError: there is none.
        """
        with suppress(UnknownRunError):
            return self.index.get(id)
        self.index.refresh()
        return self.index.get(id)

    @property
    def is_watching(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None

    def _watch(self) -> None:
        seconds = 0.0
        while not self._ends.wait(min(max(ROUND_SECONDS, REST_FACTOR * seconds), MAX_ROUND_SECONDS)):
            with self._lock:
                if time.monotonic() - self._last_request > INTEREST_SECONDS:
                    self._thread = None
                    return
            begin = time.thread_time()
            self.index.refresh()
            seconds = time.thread_time() - begin

    async def wait_for_change(self, cursor: str, seconds: float) -> None:
        """Wait until there is something after a cursor.

        Raises:
            ApiError: the server ends.
        """
        end = time.monotonic() + seconds
        while not self.index.has_changed(cursor) and time.monotonic() < end:
            if self._ends.is_set():
                raise shutdown_error()
            self._last_request = time.monotonic()
            await asyncio.sleep(CHECK_SECONDS)

    def close(self) -> None:
        """End the thread, and all that waits."""
        self._ends.set()


def _runs(request: Request) -> WatchedRuns:
    runs: WatchedRuns | None = request.app.state.runs
    if runs is None:
        raise ApiError(404, "this server shows no runs; start it with --runs DIR", code="no_runs")
    return runs


def is_owner(request: Request) -> bool:
    """Whether the key of a request may stop and resume runs."""
    return server_state(request).keys.role_of(str(request.state.owner)) == "owner"


def _check_owner(request: Request) -> None:
    if not is_owner(request):
        name = str(request.state.owner)
        message = f"the key '{name}' may look at runs, but not stop or resume them; use a key with role = \"owner\""
        raise ApiError(403, message, code="role_needed", values={"role": "owner"})


OwnerOnly = Depends(_check_owner)
Runs = Annotated[WatchedRuns, Depends(_runs)]
