"""All runs of a folder: what has changed since, within a budget of time and memory.

`refresh` looks for new runs and new rows. Nothing is read twice, columns are read only when somebody asks for a curve, and
of a run that is at rest only the times of two folders are looked at, except now and then.
"""

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.json_lines import format_json
from lmcraft.runs.metrics import Metrics
from lmcraft.runs.run import Run
from lmcraft.runs.run_folders import RunFolders

MAX_COLUMN_BYTES = 256 * 2**20
MAX_REMOVED = 10_000
IDLE_ROUNDS = 10  # a run at rest is looked at in each of so many rounds
READ_SECONDS = 0.1  # of each round, to read logs of which more than the end is needed
DEFAULT_POINTS, MAX_POINTS = 1000, 20_000
MAX_SERIES = 200  # of one answer
Json = dict[str, Any]


class UnknownRunError(UserError):
    """There is no run with this id."""

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no run '{id[:200]}': list the runs again", code="unknown_run", values={"id": id[:200]})


class RunIndex:
    """The runs below a folder. Its methods may be called from any thread.

    Args:
        root: the folder.
        max_column_bytes: of memory for columns; what was not used for longest is dropped, and read again when needed.

    Raises:
        UserError: it is no folder that can be read.
    """

    def __init__(self, root: Path, *, max_column_bytes: int = MAX_COLUMN_BYTES) -> None:
        self.root = Path(os.path.realpath(root))
        if not self.root.is_dir():
            raise UserError(f"runs='{root}' is not a folder; name the folder that holds the runs")
        self._folders = RunFolders(self.root)
        self._max_column_bytes = max_column_bytes
        self._runs: dict[str, Run] = {}
        self._texts: dict[str, str] = {}
        self._removed: deque[tuple[int, str]] = deque(maxlen=MAX_REMOVED)
        self._forgotten = 0  # version of the latest removal that is no longer listed
        self._backlog: dict[str, None] = {}
        self._round = 0
        self.lock, self._refreshing = threading.RLock(), threading.Lock()
        self._name = secrets.token_hex(4)
        self.version = 0
        """Increases whenever a run's description changes, or a run is added or removed."""

    def refresh(self) -> None:
        """Look for what has changed. Of the calls that wait meanwhile, one looks again, for all of them."""
        latest = self._round
        with self._refreshing:
            if self._round > latest:  # a round has begun since the call
                return
            self._round += 1
            folders = self._folders.find()
            with self.lock:
                for id in self._runs.keys() - folders.keys():
                    self._remove(id)
            for n, (id, path) in enumerate(folders.items()):
                with self.lock:
                    self._look(id, path, is_turn=(n + self._round) % IDLE_ROUNDS == 0)
            self._read_backlog()
            with self.lock:
                self._limit_memory()

    def _look(self, id: str, path: Path, *, is_turn: bool) -> None:
        run = self._runs.get(id)
        if run is None:
            run = self._runs[id] = Run(id, path, self.root)
        elif run.is_idle() and not is_turn and not run.is_touched():
            return
        if run.refresh():
            if not run.follow_log():
                self._backlog[id] = None
            self._note(run)

    def _note(self, run: Run) -> None:
        """Give a run whose description has changed a new version."""
        described = format_json(run.as_json())
        if self._texts.get(run.id) != described:
            self.version += 1
            self._texts[run.id], run.version = described, self.version

    def _remove(self, id: str) -> None:
        del self._runs[id]
        self._backlog.pop(id, None)
        self._texts.pop(id, None)
        self.version += 1
        if len(self._removed) == MAX_REMOVED:
            self._forgotten = self._removed[0][0]
        self._removed.append((self.version, id))

    def _read_backlog(self) -> None:
        """Read logs whose end does not say enough, for a bounded time."""
        end = time.monotonic() + READ_SECONDS
        while self._backlog and time.monotonic() < end:
            with self.lock:
                id = next(iter(self._backlog))
                run = self._runs.get(id)
                if run is not None and run.read_log():
                    continue
                del self._backlog[id]
                if run is not None:
                    self._note(run)
                    self._limit_memory()

    def _limit_memory(self) -> None:
        held = sorted((run for run in self._runs.values() if run.metrics is not None), key=lambda run: run.last_used)
        total = sum(run.num_bytes for run in held)
        for run in held[:-1]:
            if total <= self._max_column_bytes:
                break
            total -= run.num_bytes
            run.drop_metrics()

    # Answers

    @property
    def cursor(self) -> str:
        """Where `changes` goes on from."""
        return f"{self._name}-{self.version}"

    def has_changed(self, cursor: str) -> bool:
        """Whether there is anything after a cursor."""
        return cursor != self.cursor

    def changes(self, after: str = "") -> str:
        """The descriptions of the runs that have changed after a cursor, as JSON; of all runs if it is not this index's."""
        with self.lock:
            name, _, number = after.partition("-")
            since = int(number) if name == self._name and number.isdecimal() and len(number) < 19 else -1
            if not self._forgotten <= since <= self.version:
                since = -1
            runs = sorted((run for run in self._runs.values() if run.version > since), key=lambda run: run.id)
            gone = {id: None for version, id in self._removed if version > since and id not in self._runs}
            removed = list(gone) if since >= 0 else []
            folder = os.fsencode(self.root.name).decode("utf-8", "replace")
            head = {"cursor": self.cursor, "complete": since < 0, "folder": folder, "removed": removed}
            head["truncated"] = self._folders.is_cut
            listed = ",".join(self._texts[run.id] for run in runs)
            return f'{format_json(head)[:-1]}, "runs": [{listed}]}}'

    def runs(self) -> list[Run]:
        """All runs, by name."""
        with self.lock:
            return sorted(self._runs.values(), key=lambda run: run.name)

    def get(self, id: str) -> Run:
        """A run.

        Raises:
            UnknownRunError: there is none.
        """
        with self.lock:
            if (run := self._runs.get(id)) is None:
                raise UnknownRunError(id)
            return run

    def look(self, run: Run) -> None:
        """Look at a run at once, such as after it was stopped."""
        with self.lock:
            if run.refresh():
                run.follow_log()
            self._note(run)

    def _read_in_parts(self, run: Run) -> None:
        """Read a long log without keeping others from the lock meanwhile."""
        has_more = True
        while has_more:
            with self.lock:
                run.last_used = time.monotonic()
                has_more = (run.metrics is None or run.is_being_read) and run.read_log()
        with self.lock:
            self._note(run)
            self._limit_memory()

    def metrics(self, id: str) -> tuple[Run, Metrics]:
        """A run and all its metrics, to be read while `lock` is held.

        Raises:
            UnknownRunError: there is no such run.
        """
        with self.lock:
            run = self.get(id)
            self._read_in_parts(run)
            return run, run.read_whole_log()

    def series(
        self,
        id: str,
        names: Sequence[str] | None = None,
        *,
        points: int = DEFAULT_POINTS,
        first: int | None = None,
        last: int | None = None,
        after_step: int | None = None,
        revision: int | None = None,
    ) -> Json:
        """Curves of a run.

        Args:
            id: of the run.
            names: of the curves; those that the run does not have are left out. None: all.
            points: the most points of a curve.
            first: the first step; None: of the run.
            last: the last step; None: of the run.
            after_step: only points after this step, if `revision` is still that of the run.
            revision: of the answer that `after_step` continues.

        Raises:
            UnknownRunError: there is no such run.
        """
        self._read_in_parts(self.get(id))
        with self.lock:
            run, metrics = self.metrics(id)
            if after_step is not None and revision == run.revision:
                first = after_step + 1 if first is None else max(first, after_step + 1)
            chosen = metrics.names if names is None else list(dict.fromkeys(names))
            series = {name: curve for name in chosen[:MAX_SERIES] if (curve := metrics.series(name)) is not None}
            answer = {"names": metrics.names, "revision": run.revision, "last_step": metrics.last_step}
            answer["chance"] = dict(metrics.chance)
        curves = {name: curve.between(first, last).downsampled(points).as_json() for name, curve in series.items()}
        return {**answer, "series": curves}
