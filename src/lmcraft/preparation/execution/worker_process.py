"""A worker as its parent sees it: started, given a task, watched, and ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lmcraft.preparation.contracts import Unit
from lmcraft.preparation.execution.journal import Journal
from lmcraft.preparation.execution.position import POSITION, SharedPosition
from lmcraft.preparation.execution.task import LOG, Answer, Status, Task, describe_end, format_task, is_full, parse_answer

MAX_TICK_SECONDS = 1.0  # between two looks; more has passed if this process was stopped, or the machine slept
# Units are what runs at the same time, so each has one thread.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
)
ONE_THREAD["TOKENIZERS_PARALLELISM"] = "false"


def module_path() -> list[str]:
    """Where this process finds modules."""
    return [part or str(Path.cwd()) for part in sys.path]


class WorkerProcess:
    """A process that does one unit after the other.

    Args:
        work: the work folder.
        document_seconds: the longest that it may read one document.
        path: where it finds modules, as `sys.path`.
    """

    def __init__(self, work: Path, document_seconds: float, path: Sequence[str] = ()) -> None:
        self.journal, self.document_seconds = Journal(work), document_seconds
        self.unit: Unit | None = None
        with tempfile.TemporaryFile() as file, (work / LOG).open("ab") as log:
            file.write(bytes(POSITION.size))
            file.flush()
            self._position = SharedPosition(file.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lmcraft.preparation.execution.worker", str(file.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(path or module_path())},
                pass_fds=[file.fileno()],
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._tasks, self._answers = self._process.stdin, self._process.stdout
        os.set_blocking(self._answers.fileno(), False)
        self._line = b""
        self._changes, self._stalled_seconds, self._last_look = 0, 0.0, time.monotonic()

    def fileno(self) -> int:
        """The descriptor that has something to read when the worker has answered or ended."""
        return self._answers.fileno()

    def begin(self, task: Task) -> None:
        """Have it do a task."""
        self.unit, self._stalled_seconds, self._last_look = task.unit, 0.0, time.monotonic()
        with suppress(BrokenPipeError):  # it has ended; `look` says so
            self._tasks.write(format_task(task))
            self._tasks.flush()

    def look(self) -> Answer | None:
        """How its unit ended; None if it goes on."""
        is_open = self._receive()
        if self._line.endswith(b"\n"):
            answer, self._line = parse_answer(self._line), b""
            if answer.status not in ("failed", "memory", "system"):
                return answer
            return self._with_document(answer)
        if not is_open:
            self._process.wait()
            returncode, status = self._process.returncode, self._status_of_end()
            self.end()
            return self._with_document(Answer(status, describe_end(returncode)))
        if self._is_stalled():
            self.end()
            return self._with_document(Answer("hung", f"it took longer than {self.document_seconds:g} s"))
        return None

    @property
    def is_alive(self) -> bool:
        """Whether it can do another task."""
        return self._process.poll() is None

    def end(self) -> None:
        """End it at once, and remove what it was writing."""
        self._process.kill()  # no effect if it has ended
        self._process.wait()
        self._answers.close()
        with suppress(BrokenPipeError):
            self._tasks.close()
        self.journal.remove_temporary(self._process.pid)

    def _receive(self) -> bool:
        """Read what it has answered so far; returns whether it may answer more."""
        if self._answers.closed:
            return False
        while True:
            try:
                data = os.read(self._answers.fileno(), 2**16)
            except BlockingIOError:
                return True
            if not data:
                return False
            self._line += data
            if self._line.endswith(b"\n"):
                return True

    def _with_document(self, answer: Answer) -> Answer:
        return Answer(answer.status, answer.text, answer.exit_status, self._position.read()[1])

    def _status_of_end(self) -> Status:
        if is_full(self.journal.work):  # what is written to a memory map of a file then ends the process by SIGBUS
            return "full"
        return "killed" if self._process.returncode == -signal.SIGKILL else "died"

    def _is_stalled(self) -> bool:
        """Whether it has read the same document for too long."""
        now = time.monotonic()
        elapsed, self._last_look = min(now - self._last_look, MAX_TICK_SECONDS), now
        changes, _, is_timed = self._position.read()
        self._stalled_seconds = self._stalled_seconds + elapsed if changes == self._changes and is_timed else 0.0
        self._changes = changes
        return self._stalled_seconds > self.document_seconds
