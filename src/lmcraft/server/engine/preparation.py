"""Threads that turn request bodies into sequences, shared fairly among owners.

Python cannot interrupt a thread: a template, a tokenizer or a grammar's compiler runs to its end, even if the client has
left. So each owner has at most one of the threads at a time, until that end, and the threads end with the process.

Nor can it run two threads at once: beside one that computes in Python, each of the thousands of operations of an engine's
step waits for Python's lock. So an owner rests between two functions while other owners are served.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from lmcraft.server.engine.admission import MIN_RETRY_SECONDS, queue_full_error, timeout_error
from lmcraft.server.engine.queue import FairQueue, QueueFull
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

R = TypeVar("R")
# Compiling a hostile grammar takes a second and 100 MB, and a thread keeps the memory that it once needed: two threads bound
# both the cores and the memory that these requests can use, and leave one to the other owners.
PREPARATION_THREADS = 2
# An owner rests this many times as long as its function ran: the others have the engine to themselves for that share.
REST_RATIO = 3


@dataclass(eq=False)
class _Job:
    owner: str
    function: Callable[[], Any]
    result: "asyncio.Future[Any]"


class PreparationThreads:
    """A few daemon threads; only the event loop calls the methods.

    Args:
        limits: `max_queue` bounds the functions that wait for a thread.
        serves_others: whether an engine works for other owners than this one.
        num_threads: how many functions run at once.
    """

    def __init__(
        self, limits: Limits, serves_others: Callable[[str], bool], *, num_threads: int = PREPARATION_THREADS
    ) -> None:
        self._limits, self._serves_others, self._max_threads = limits, serves_others, num_threads
        self._waiting: FairQueue[_Job] = FairQueue(limits.max_queue + limits.max_num_seqs)
        self._busy_owners: set[str] = set()
        self._resting_owners: set[str] = set()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._num_threads = 0

    async def run(self, owner: str, function: Callable[[], R]) -> R:
        """Run a function in a thread, when it is the owner's turn; if the caller is canceled first, it does not run.

        Raises:
            ApiError: too many functions wait (429), or it did not end in time (504).
        """
        loop = asyncio.get_running_loop()
        job = _Job(owner, function, loop.create_future())
        full = queue_full_error(len(self._waiting), self._limits, MIN_RETRY_SECONDS)
        try:
            displaced = self._waiting.put(owner, job)
        except QueueFull as error:
            raise full from error
        if displaced is not None and not displaced.result.done():
            displaced.result.set_exception(full)
        self._start_jobs()
        try:
            async with asyncio.timeout(self._limits.request_timeout):
                result: R = await job.result
                return result
        except TimeoutError as error:
            raise timeout_error(self._limits) from error
        finally:
            self._waiting.remove(job)

    def _start_jobs(self) -> None:
        while len(self._busy_owners) < self._max_threads:
            if (entry := self._waiting.get(self._busy_owners | self._resting_owners)) is None:
                return
            owner, job = entry
            if job.result.done():
                continue
            self._busy_owners.add(owner)
            if self._num_threads < len(self._busy_owners):
                self._num_threads += 1
                threading.Thread(target=self._work, name="preparation", daemon=True).start()
            self._jobs.put(job)

    def _end_job(self, job: _Job, seconds: float, value: Any, error: BaseException | None) -> None:
        self._busy_owners.discard(job.owner)
        if self._busy_owners or self._serves_others(job.owner):
            self._resting_owners.add(job.owner)
            asyncio.get_running_loop().call_later(REST_RATIO * seconds, self._end_rest, job.owner)
        if not job.result.done():
            if error is None:
                job.result.set_result(value)
            else:
                job.result.set_exception(error)
        self._start_jobs()

    def _end_rest(self, owner: str) -> None:
        self._resting_owners.discard(owner)
        self._start_jobs()

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            value, error, start = None, None, time.perf_counter()
            try:
                value = job.function()
            except BaseException as raised:  # libraries in Rust raise PanicException, which is no Exception
                error = raised if isinstance(raised, Exception) else _panic_error(raised)
            try:
                seconds = time.perf_counter() - start
                job.result.get_loop().call_soon_threadsafe(self._end_job, job, seconds, value, error)
            except RuntimeError:
                return  # the event loop is closed: the server has ended
            del job, value, error


def _panic_error(error: BaseException) -> ApiError:
    return ApiError(400, f"a library failed on this request ({str(error)[:200]}); change its text or settings")
