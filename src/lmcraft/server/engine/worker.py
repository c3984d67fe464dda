"""Runs an engine in a thread of its own, and starts it again when it fails.

Work waits in a queue that is bounded and fair among owners (`queue.py`), not in the engine's own, which is first come first
served.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from lmcraft.errors import UserError
from lmcraft.inference.engine import Engine
from lmcraft.inference.request import Sequence as Growing
from lmcraft.server.engine.admission import queue_full
from lmcraft.server.engine.queue import FairQueue, QueueFull
from lmcraft.server.engine.stream import Stream, _Call
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

R = TypeVar("R")


log = logging.getLogger("lmcraft.server")


WITHIN = 120.0  # seconds in which failures count


PAUSE, MOST_DOUBLINGS = 1.0, 5  # seconds before an engine is made again: none, then 1, 3, ... 31


State = Literal["starting", "ready", "failed"]


class Worker:
    """Runs an engine, or anything else that answers calls, in a thread.

    Args:
        name: of the model, for the log and the metrics.
        make: makes the engine; called again, in the thread, after a failure.
        limits: bounds of the queue and of what runs.
        metrics: told of every request.
    """

    def __init__(self, name: str, make: Callable[[], Any], limits: Limits, metrics: Metrics) -> None:
        self.name, self._make, self._limits, self._metrics = name, make, limits, metrics
        self.state: State = "starting"
        self.engine: Any = None
        self._queue: FairQueue[Stream | _Call] = FairQueue(limits.max_queue)
        self._live: list[Stream] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._failures: list[float] = []
        self._seconds = 1.0  # that a request takes, by the recent ones
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)

    # For the event loop

    def start(self) -> None:
        """Make the engine and begin.

        Raises:
            UserError: it cannot be made.
        """
        self.engine = self._make()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what still runs is given up. Waits for the step that is being computed."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def running(self) -> int:
        """Texts that grow."""
        return sum(len(stream.sequences) - sum(stream.ended) for stream in self._live)

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def cache_usage(self) -> float:
        """The share of the room for keys and values that is held, 0 to 1."""
        pool = getattr(self.engine, "pool", None)
        return 0.0 if pool is None else 1 - pool.available / pool.count

    def submit(self, sequences: Sequence[Growing], owner: str) -> Stream:
        """Queue texts that the engine has prepared.

        Raises:
            ApiError: the queue is full (429), or the engine does not run (503).
        """
        stream = Stream(sequences, asyncio.get_running_loop(), self._forget)
        self._enqueue(owner, stream)
        return stream

    async def call(self, function: Callable[[Any], R], owner: str) -> R:
        """What `function` says of the engine, which does nothing else meanwhile.

        Raises:
            ApiError: as in `submit`; or the time is over (504).
        """
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._limits.request_timeout
        call = _Call(function, loop, loop.create_future(), deadline)
        self._enqueue(owner, call)
        answer: R = await call.answer
        return answer

    def _enqueue(self, owner: str, item: Stream | _Call) -> None:
        with self._changed:
            if self.state != "ready" or self._stopping:
                raise ApiError(503, f"the engine of '{self.name}' is {self.state}: try again", headers={"Retry-After": "2"})
            try:
                self._queue.put(owner, item)
            except QueueFull as error:
                raise queue_full(
                    self.waiting, self._limits, self._seconds * self.waiting / self._limits.max_num_seqs
                ) from error
            self._changed.notify()

    def _forget(self, stream: Stream) -> None:
        with self._changed:
            self._queue.remove(stream)

    # The thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                if self.engine is None:
                    self.engine = self._make()
                self.state = "ready"
                self._work()
            except Exception:
                log.exception("the engine of '%s' failed", self.name)
                self._fail()
        self._end_all(ApiError(503, "the server is stopping: ask another, or later"))

    def _fail(self) -> None:
        """After a failure: end what ran, and wait the longer the more often that has happened of late."""
        now = time.monotonic()
        self._failures = [then for then in self._failures if now - then < WITHIN] + [now]
        with self._changed:
            self.state, self.engine = "failed", None
        self._end_all(ApiError(503, "the engine failed and is started again: send the request again"))
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, PAUSE * (2 ** min(len(self._failures) - 1, MOST_DOUBLINGS) - 1))

    def _end_all(self, error: ApiError) -> None:
        for stream in self._live:
            stream.cancel()
            stream.end(error)
        self._live.clear()
        while (item := self._next()) is not None:
            if isinstance(item, Stream):
                item.end(error)
            else:
                item.settle(None, error)

    def _next(self) -> Stream | _Call | None:
        with self._changed:
            item: Stream | _Call | None = self._queue.get()
            return item

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._busy() or len(self._queue))
                if self._stopping:
                    return
            self._admit()
            if self._busy():
                self.engine.step()
                self._pass_on()

    def _busy(self) -> bool:
        """Whether there is a step to compute; one too for what was given up, so that it holds no more room."""
        engine = self.engine
        return bool(self._live) or (isinstance(engine, Engine) and bool(engine.running or engine.waiting))

    def _admit(self) -> None:
        """Take what waits while there is a place for it, and answer calls on the way: each between two steps."""
        while True:
            with self._changed:
                if self.running >= self._limits.max_num_seqs or (item := self._queue.get()) is None:
                    return
            if isinstance(item, _Call):
                self._answer(item)
                if self._live:
                    return  # texts go on before the next call
                continue
            self._live.append(item)
            item.admit()
            for sequence in item.sequences:
                self.engine.waiting.append(sequence)

    def _answer(self, call: _Call) -> None:
        if call.answer.cancelled():
            return
        if time.monotonic() > call.deadline:
            call.settle(None, _too_late(self._limits))
            return
        try:
            call.settle(call.function(self.engine), None)
        except UserError as error:
            call.settle(None, error)
        except Exception as error:
            call.settle(None, ApiError(500, "the model could not compute this: see the server's log", code="internal_error"))
            log.exception("a call of '%s' failed", self.name, exc_info=error)

    def _pass_on(self) -> None:
        now = time.monotonic()
        for stream in list(self._live):
            error = self._take(stream, now)
            done = all(stream.ended) or error is not None
            if done or now - stream.passed >= self._limits.stream_interval:
                stream.pass_on(now)
            if done:
                stream.cancel()
                self._live.remove(stream)
                self._ended(stream, now)
                stream.end(error)

    def _take(self, stream: Stream, now: float) -> ApiError | None:
        """Look at what a step has found for a stream; the reason if one of its texts has ended before its time."""
        error = None
        for n, sequence in enumerate(stream.sequences):
            if new := sequence.found[stream.read[n] :]:
                stream.piece.setdefault(n, []).extend(new)
                self._observe(stream, n, len(new), now)
            if not stream.ended[n] and (sequence.finished or sequence.expired):
                stream.ended[n] = True
                error = error or self._error_of(sequence)
        return error

    def _error_of(self, sequence: Growing) -> ApiError | None:
        if sequence.error is not None:
            return ApiError(400, str(sequence.error), code="invalid_value")
        if sequence.finished or sequence.cancelled:
            return None
        return _too_late(self._limits)

    def _observe(self, stream: Stream, n: int, new: int, now: float) -> None:
        if not any(stream.read):
            self._metrics.first_token(self.name, now - stream.arrived)
        elif stream.read[n]:
            self._metrics.inter_token(self.name, (now - stream.last) / new, new)
        stream.read[n] += new
        stream.last = now

    def _ended(self, stream: Stream, now: float) -> None:
        took = now - stream.arrived
        self._seconds += 0.2 * (took - self._seconds)
        for n, sequence in enumerate(stream.sequences):
            reason = (sequence.found[-1].finish_reason if sequence.found else None) or "abort"
            self._metrics.finished(self.name, reason, sequence.prompt_length, stream.read[n], took)


def _too_late(limits: Limits) -> ApiError:
    said = f"the request was not done after {limits.request_timeout:g} s (request_timeout): ask for less, or later"
    return ApiError(504, said, code="timeout")
