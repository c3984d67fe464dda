"""Runs an engine in its own thread, and restarts it after a failure.

Requests wait in a queue that is bounded and fair among owners (`queue.py`), not in the engine's own queue, which is first
come, first served.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from lmcraft.errors import UserError
from lmcraft.inference.request import SequenceState
from lmcraft.server.engine.admission import queue_full_error
from lmcraft.server.engine.interface import ServingEngine
from lmcraft.server.engine.queue import FairQueue, QueueFull
from lmcraft.server.engine.stream import EngineCall, TokenStream
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

R = TypeVar("R")
log = logging.getLogger("lmcraft.server")
FAILURE_WINDOW_SECONDS = 120.0
# Pauses before a restart: none after the first failure, then 1, 3, 7, 15 and 31 seconds.
RESTART_PAUSE_SECONDS, MAX_PAUSE_DOUBLINGS = 1.0, 5
LATENCY_SMOOTHING = 0.2  # weight of the newest request in the moving average
State = Literal["starting", "ready", "failed"]


class Worker:
    """Runs one model's engine in a thread.

    Args:
        name: the model's name, for the log and the metrics.
        make_engine: builds the engine; called again, in the thread, after a failure.
        limits: limits on queued and running requests.
        metrics: records every request.
    """

    def __init__(self, name: str, make_engine: Callable[[], ServingEngine], limits: Limits, metrics: Metrics) -> None:
        self.name, self._make_engine, self._limits, self._metrics = name, make_engine, limits, metrics
        self.state: State = "starting"
        self.engine: ServingEngine | None = None
        """None while a failed engine is being restarted."""
        self._queue: FairQueue[TokenStream | EngineCall] = FairQueue(limits.max_queue)
        self._streams: list[TokenStream] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._failure_times: list[float] = []
        self._mean_request_seconds = 1.0
        self._thread = threading.Thread(target=self._run, name=f"engine {name}", daemon=True)

    # Called by the event loop

    def start(self) -> None:
        """Build the engine and start the thread.

        Raises:
            UserError: the engine cannot be built.
        """
        self.engine = self._make_engine()
        self._thread.start()

    def stop(self) -> None:
        """Cancel all work, and end the thread after its current step."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    @property
    def running(self) -> int:
        """Number of sequences being generated."""
        return sum(len(stream.sequences) - sum(stream.ended) for stream in self._streams)

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        return len(self._queue)

    @property
    def cache_usage(self) -> float:
        """The share of the KV cache in use, 0 to 1."""
        engine = self.engine
        return 0.0 if engine is None else engine.cache_usage

    def submit(self, sequences: Sequence[SequenceState], owner: str) -> TokenStream:
        """Queue sequences that the engine has prepared.

        Raises:
            ApiError: the queue is full (429), or the engine is not running (503).
        """
        stream = TokenStream(sequences, asyncio.get_running_loop(), self._remove_from_queue)
        self._put(owner, stream)
        return stream

    async def call(self, function: Callable[[], R], owner: str) -> R:
        """Queue a function, run it in the thread between two steps, and return its result.

        Raises:
            ApiError: as in `submit`; or the request timed out (504).
        """
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._limits.request_timeout
        call = EngineCall(function, loop, loop.create_future(), deadline)
        self._put(owner, call)
        result: R = await call.result
        return result

    def _put(self, owner: str, item: TokenStream | EngineCall) -> None:
        with self._changed:
            if self.state != "ready" or self._stopping:
                message = f"the engine of '{self.name}' is {self.state}; try again"
                raise ApiError(503, message, headers={"Retry-After": "2"})
            try:
                self._queue.put(owner, item)
            except QueueFull as error:
                wait_seconds = self._mean_request_seconds * self.waiting / self._limits.max_num_seqs
                raise queue_full_error(self.waiting, self._limits, wait_seconds) from error
            self._changed.notify()

    def _remove_from_queue(self, stream: TokenStream) -> None:
        with self._changed:
            self._queue.remove(stream)

    # The thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                engine = self.engine
                if engine is None:
                    engine = self.engine = self._make_engine()
                self.state = "ready"
                self._serve(engine)
            except Exception:
                log.exception("the engine of '%s' failed", self.name)
                self._handle_failure()
        self._abort_all(ApiError(503, "the server is shutting down; try again later"))

    def _handle_failure(self) -> None:
        """Abort all work, then pause before the restart: longer after each further failure within the window."""
        now = time.monotonic()
        self._failure_times = [t for t in self._failure_times if now - t < FAILURE_WINDOW_SECONDS] + [now]
        with self._changed:
            self.state, self.engine = "failed", None
        self._abort_all(ApiError(503, "the engine failed and is restarting; send the request again"))
        doublings = min(len(self._failure_times) - 1, MAX_PAUSE_DOUBLINGS)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, RESTART_PAUSE_SECONDS * (2**doublings - 1))

    def _abort_all(self, error: ApiError) -> None:
        for stream in self._streams:
            stream.cancel()
            stream.end(error)
        self._streams.clear()
        while (item := self._take()) is not None:
            if isinstance(item, TokenStream):
                item.end(error)
            else:
                item.resolve(None, error)

    def _take(self) -> TokenStream | EngineCall | None:
        with self._changed:
            item: TokenStream | EngineCall | None = self._queue.get()
            return item

    def _serve(self, engine: ServingEngine) -> None:
        """Admit requests and compute steps until the worker stops."""
        while True:
            # An engine with canceled sequences has work too: the step that drops them frees their cache.
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._streams or engine.has_work or len(self._queue))
                if self._stopping:
                    return
            self._admit(engine)
            if self._streams or engine.has_work:
                engine.step()
                self._deliver()

    def _admit(self, engine: ServingEngine) -> None:
        """Take requests out of the queue while there are free slots. Calls run immediately, but only one per step."""
        while True:
            with self._changed:
                if self.running >= self._limits.max_num_seqs or (item := self._queue.get()) is None:
                    return
            if isinstance(item, EngineCall):
                self._run_call(item)
                if self._streams:
                    return  # running sequences get a step before the next call
                continue
            self._streams.append(item)
            item.admit()
            for sequence in item.sequences:
                engine.enqueue(sequence)

    def _run_call(self, call: EngineCall) -> None:
        if call.result.cancelled():
            return
        if time.monotonic() > call.deadline:
            call.resolve(None, _timeout_error(self._limits))
            return
        try:
            call.resolve(call.function(), None)
        except (UserError, ApiError) as error:
            call.resolve(None, error)
        except Exception as error:
            message = "the model failed on this request; see the server's log"
            call.resolve(None, ApiError(500, message, code="internal_error"))
            log.exception("a call of '%s' failed", self.name, exc_info=error)

    def _deliver(self) -> None:
        """Pass the step's tokens on to their streams, and end the streams that are complete."""
        now = time.monotonic()
        for stream in list(self._streams):
            error = self._collect(stream, now)
            done = all(stream.ended) or error is not None
            if done or now - stream.flush_time >= self._limits.stream_interval:
                stream.flush(now)
            if done:
                stream.cancel()
                self._streams.remove(stream)
                self._record_end(stream, now)
                stream.end(error)

    def _collect(self, stream: TokenStream, now: float) -> ApiError | None:
        """Read a stream's new tokens; returns an error if one of its sequences failed."""
        error = None
        for n, sequence in enumerate(stream.sequences):
            if tokens := sequence.generated[stream.tokens_read[n] :]:
                stream.pending.setdefault(n, []).extend(tokens)
                self._record_tokens(stream, n, len(tokens), now)
            if not stream.ended[n] and (sequence.finished or sequence.expired):
                stream.ended[n] = True
                error = error or self._error_of(sequence)
        return error

    def _error_of(self, sequence: SequenceState) -> ApiError | None:
        if sequence.error is not None:
            return ApiError(400, str(sequence.error), code="invalid_value")
        if sequence.finished or sequence.cancelled:
            return None
        return _timeout_error(self._limits)

    def _record_tokens(self, stream: TokenStream, n: int, count: int, now: float) -> None:
        if not any(stream.tokens_read):
            self._metrics.record_first_token(self.name, now - stream.arrival_time)
        elif stream.tokens_read[n]:
            self._metrics.record_inter_token(self.name, (now - stream.last_token_time) / count, count)
        stream.tokens_read[n] += count
        stream.last_token_time = now

    def _record_end(self, stream: TokenStream, now: float) -> None:
        seconds = now - stream.arrival_time
        self._mean_request_seconds += LATENCY_SMOOTHING * (seconds - self._mean_request_seconds)
        for n, sequence in enumerate(stream.sequences):
            reason = (sequence.generated[-1].finish_reason if sequence.generated else None) or "abort"
            self._metrics.record_finish(self.name, reason, sequence.prompt_length, stream.tokens_read[n], seconds)


def _timeout_error(limits: Limits) -> ApiError:
    message = f"the request did not finish within {limits.request_timeout:g} s (request_timeout); lower max_tokens, or retry"
    return ApiError(504, message, code="timeout")
