"""A moderator in a process of its own: one that dies or hangs ends no more than the texts it has, which are refused.

It also keeps the judge's work away from Python's lock, which a server's event loop and its engines need.
"""

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from lmcraft.errors import UserError
from lmcraft.moderation.decision import Decision, Stage
from lmcraft.moderation.policy import Policy, read_policy

log = logging.getLogger("lmcraft.moderation")
# Pauses before a restart, by how many judges in a row decided about nothing: none after the first, then 1, 3, 7, ... s.
RESTART_PAUSE_SECONDS, MAX_PAUSE_DOUBLINGS = 1.0, 5
RESTART_WAIT_SECONDS = 30.0  # for which a text waits for another judge
END_SECONDS = 2.0
T = TypeVar("T")


class JudgeProcess:
    """A judge for `lmcraft.moderation.streaming.HeldText` that restarts after it has ended.

    Args:
        policy: a policy file, or "default".
        timeout_seconds: how long it may take for one text; after that it is ended, and what it has is refused.
        on_restart: called when a judge has ended by itself.
        command: the program; None: `judge_program.py` with the policy.

    Raises:
        UserError: the policy cannot be used.
    """

    def __init__(
        self,
        policy: str,
        *,
        timeout_seconds: float,
        on_restart: Callable[[], None] = lambda: None,
        command: Sequence[str] = (),
    ) -> None:
        self.policy: Policy = read_policy(policy)
        self._timeout_seconds, self._on_restart = timeout_seconds, on_restart
        self._command = command or (sys.executable, "-P", "-m", "lmcraft.moderation.judge_program", policy)
        self._child: Future[_Child] = Future()
        """The judge that is ready; not done while there is none."""
        self._closing = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process, and wait until it is ready; does nothing if it has been started.

        Raises:
            UserError: it cannot judge by this policy.
        """
        with self._starting:
            if self._thread is None:
                self._child.set_result(_Child(self._command, self.policy))
                self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """End the process; what it has not judged is refused."""
        self._closing.set()
        if self._thread is not None:
            if self._child.done():
                self._child.result().end()
            self._thread.join(END_SECONDS)

    @property
    def process_id(self) -> int | None:
        """The process; None while it restarts."""
        return self._child.result().process_id if self._child.done() else None

    @property
    def num_pending(self) -> int:
        """How many texts the process has, and has not decided about."""
        return self._child.result().num_pending if self._child.done() else 0

    async def __call__(self, text: str, stage: Stage, question: str = "", *, complete: bool = False) -> Decision:
        """Decide about a text, as `Moderator.judge`; if the process ends or takes too long, the text is refused."""
        try:
            child = await _wait(self._child, RESTART_WAIT_SECONDS)
        except TimeoutError:
            return self.policy.fail(stage, "there is no judge: it restarts")
        answer = child.submit({"text": text, "stage": stage, "question": question, "complete": complete})
        while True:
            try:
                record = await _wait(answer, self._timeout_seconds)
            except TimeoutError:
                if child.idle_seconds >= self._timeout_seconds:
                    log.error("the judge has taken longer than %g s for a text: it restarts", self._timeout_seconds)
                    child.kill()
            else:
                return self.policy.fail(stage, "the judge ended") if record is None else Decision.from_json(record)

    def _run(self) -> None:
        """Read the judge's decisions, and start another judge when it has ended."""
        idle_restarts = 0
        while True:
            child = self._child.result()
            if self._closing.is_set():  # while it started
                child.end()
            child.read()
            if self._closing.is_set():
                child.refuse_all()
                return
            self._child = Future()
            log.error("the judge has ended (%s): another one starts", child.describe_end())
            self._on_restart()
            child.refuse_all()
            idle_restarts = 0 if child.num_judged else idle_restarts + 1
            if not self._restart(idle_restarts):
                self._child.set_result(child)  # refuses what waits for another one
                return

    def _restart(self, idle_restarts: int) -> bool:
        """Start another judge, as soon as one can; returns False if this object is closed before."""
        while not self._closing.wait(_pause(idle_restarts)):
            try:
                self._child.set_result(_Child(self._command, self.policy))
                return True
            except UserError as error:
                log.error("the judge cannot restart, so everything is refused: %s", error)
                idle_restarts += 1
        return False


class _Child:
    """One judge process.

    Raises:
        UserError: it cannot judge by this policy.
    """

    def __init__(self, command: Sequence[str], policy: Policy) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(part or str(Path.cwd()) for part in sys.path)}
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        except OSError as error:
            raise UserError(f"the judge of policy '{policy.name}' cannot start ({error.strerror})") from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._texts, self._decisions = self._process.stdin, self._process.stdout
        self.process_id = self._process.pid
        self._ids = count()
        self._pending: dict[int, Future[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()
        self._has_ended = False
        self._outbox: SimpleQueue[bytes | None] = SimpleQueue()
        self._last_progress = time.monotonic()
        self.num_judged = 0
        try:
            self._check(policy)
        except BaseException:
            self.end()
            self._texts.close()
            self._decisions.close()
            raise
        threading.Thread(target=self._write, name="texts to the judge", daemon=True).start()

    def _check(self, policy: Policy) -> None:
        """Wait until the process is ready."""
        line = self._decisions.readline()
        if not line.endswith(b"\n"):
            self._process.wait()
            raise UserError(f"the judge of policy '{policy.name}' ended at its start ({self.describe_end()})")
        record = json.loads(line)
        if "error" in record:
            raise UserError(record["error"])
        if (identity := record["fingerprint"]["policy"]) != policy.identity:
            raise UserError(f"the policy file has changed from {policy.identity} to {identity}: restart the server")

    def submit(self, text: Mapping[str, Any]) -> Future[dict[str, Any] | None]:
        """Have it judge a text, with the arguments of `Moderator.judge`.

        The result is the decision record, or None if the process ends before.
        """
        answer: Future[dict[str, Any] | None] = Future()
        answer.set_running_or_notify_cancel()  # nobody can cancel it
        with self._lock:
            if self._has_ended:
                answer.set_result(None)
                return answer
            if not self._pending:
                self._last_progress = time.monotonic()
            number = next(self._ids)
            self._pending[number] = answer
        self._outbox.put(json.dumps({"id": number, **text}).encode() + b"\n")
        return answer

    @property
    def num_pending(self) -> int:
        """How many texts it has not decided about."""
        return len(self._pending)

    @property
    def idle_seconds(self) -> float:
        """For how long it has judged nothing although it has texts."""
        return time.monotonic() - self._last_progress

    def read(self) -> None:
        """Pass its decisions on until it ends."""
        # An error means that it ended while it wrote, or writes something else.
        with self._decisions, suppress(ValueError, KeyError):
            for line in self._decisions:
                record = json.loads(line)
                decision = record["decision"]
                with self._lock:
                    answer = self._pending.pop(record["id"])
                    self._last_progress = time.monotonic()
                self.num_judged += 1
                answer.set_result(decision)
        self.end()

    def refuse_all(self) -> None:
        """Answer the texts that it has not judged with None, and those that follow."""
        with self._lock:
            self._has_ended = True
            answers, self._pending = list(self._pending.values()), {}
        for answer in answers:
            answer.set_result(None)
        self._outbox.put(None)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> None:
        """End it at once, and wait until it has ended."""
        self._process.kill()
        self._process.wait()

    def describe_end(self) -> str:
        """How it ended."""
        status = self._process.returncode
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _write(self) -> None:
        with suppress(OSError):  # it has ended
            while (line := self._outbox.get()) is not None:
                self._texts.write(line)
                self._texts.flush()
        with suppress(OSError):
            self._texts.close()


def _pause(idle_restarts: int) -> float:
    doublings = min(max(0, idle_restarts - 1), MAX_PAUSE_DOUBLINGS)
    return RESTART_PAUSE_SECONDS * ((1 << doublings) - 1)


async def _wait(future: Future[T], seconds: float) -> T:
    """The result of a future that other threads complete, which goes on if this is canceled.

    Raises:
        TimeoutError: there is none after so many seconds.
    """
    return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), seconds)
