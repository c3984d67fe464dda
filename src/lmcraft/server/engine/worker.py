"""Runs an engine in its own thread, and restarts it after a failure.

Requests wait in the engine, whose scheduler is fair among clients; the worker bounds how many.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.inference.damaged_model import DamagedModelError
from lmcraft.inference.engine import Engine
from lmcraft.inference.grammar import StructureError
from lmcraft.inference.request import SequenceState
from lmcraft.server.engine.admission import queue_full_error, timeout_error
from lmcraft.server.engine.energy_ledger import EnergyLedger, EnergyShare
from lmcraft.server.engine.queue import owner_to_displace
from lmcraft.server.engine.stream import TokenStream
from lmcraft.server.errors import ApiError, damaged_model_response, structure_error
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

log = logging.getLogger("lmcraft.server")
FAILURE_WINDOW_SECONDS = 120.0
# Pauses before a restart: none after the first failure, then 1, 3, 7, 15 and 31 seconds.
RESTART_PAUSE_SECONDS, MAX_PAUSE_DOUBLINGS = 1.0, 5
TRAINING_FLOPS_PER_FLOP = 3  # a backward pass takes twice as many as a forward pass
LATENCY_SMOOTHING = 0.2  # weight of the newest request in the moving average
State = Literal["starting", "ready", "failed"]


class Worker:
    """Runs one model's engine in a thread.

    Args:
        name: the model's name, for the log and the metrics.
        make_engine: builds the engine; called again, in the thread, after a failure.
        limits: limits on queued and running requests.
        metrics: records every request.
        energy: divides the energy of all engines of this process among their requests.
    """

    def __init__(
        self,
        name: str,
        make_engine: Callable[[], Engine],
        limits: Limits,
        metrics: Metrics,
        energy: EnergyLedger,
    ) -> None:
        self.name, self._make_engine, self._limits, self._metrics = name, make_engine, limits, metrics
        self.energy, self._flops_per_token = energy, 0.0
        self.state: State = "starting"
        self.engine: Engine | None = None
        """None while a failed engine is being restarted."""
        self._streams: list[TokenStream] = []  # in order of arrival; all of them are given to the engine
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
        self._flops_per_token = self.engine.model.flops_per_token(0) / TRAINING_FLOPS_PER_FLOP
        self._thread.start()

    def stop(self) -> None:
        """Cancel all work; the thread ends after its current step."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        """Wait for the thread to end, but no longer than this."""
        self._thread.join(seconds)

    def end_work(self, error: ApiError) -> None:
        """End all requests with an error, now: the engine drops them after its current step."""
        with self._changed:
            for stream in self._streams:
                stream.refuse(error)
                stream.end(error)

    @property
    def running(self) -> int:
        """Number of sequences being computed."""
        streams = [stream for stream in list(self._streams) if stream.running]
        return sum(stream.num_enqueued - sum(stream.ended) for stream in streams)

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        with self._changed:
            return len(self._queued())

    def serves_others(self, owner: str) -> bool:
        """Whether there are requests of other owners."""
        return any(stream.owner != owner for stream in list(self._streams))

    @property
    def cache_usage(self) -> float:
        """The share of the KV cache in use, 0 to 1."""
        engine = self.engine
        return 0.0 if engine is None else engine.cache_usage

    def submit(self, sequences: Sequence[SequenceState], owner: str, *, measures_energy: bool = False) -> TokenStream:
        """Queue sequences that the engine has prepared.

        If the queue is full, the newest request of the owner that has the most of them there is dropped.

        Args:
            sequences: in the order in which the engine gets them.
            owner: of the request.
            measures_energy: have the stream's share of the energy complete when the stream ends.

        Raises:
            ApiError: the queue is full (429), or the engine is not running (503).
        """
        share = EnergyShare(self.name, sequences, self._flops_per_token)
        stream = TokenStream(sequences, owner, asyncio.get_running_loop(), share, measures_energy=measures_energy)
        with self._changed:
            if self.state != "ready" or self._stopping:
                message = f"the engine of '{self.name}' is {self.state}; try again"
                raise ApiError(503, message, code="engine_not_ready", headers={"Retry-After": "2"})
            self._streams.append(stream)
            queued = self._queued()
            if len(queued) > self._limits.max_queue:
                self._displace(queued, stream)
            self._changed.notify()
        return stream

    def _queued(self) -> list[TokenStream]:
        """The requests that neither run nor find a free slot at the next step."""
        streams = [stream for stream in self._streams if not stream.cancelled]
        free, queued = self._limits.max_num_seqs - self.running, []
        for stream in streams:
            if stream.running:
                continue
            if free > 0:
                free -= min(len(stream.sequences), self._limits.max_texts)
            else:
                queued.append(stream)
        return queued

    def _displace(self, queued: Sequence[TokenStream], newest: TokenStream) -> None:
        """Drop a request from the full queue in favor of the newest one, or refuse that."""
        num_waiting = len(queued) - 1
        wait_seconds = self._mean_request_seconds * num_waiting / self._limits.max_num_seqs
        error = queue_full_error(num_waiting, self._limits, wait_seconds)
        owner = owner_to_displace([stream.owner for stream in queued if stream is not newest], newest.owner)
        if owner is None:
            self._streams.remove(newest)
            raise error
        next(stream for stream in reversed(queued) if stream.owner == owner and stream is not newest).refuse(error)

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
            finally:
                self.energy.rest(self.name)
        self._abort_all(ApiError(503, "the server is shutting down; try again later", code="shutting_down"))

    def _handle_failure(self) -> None:
        """Abort all work, then pause before the restart: longer after each further failure within the window."""
        now = time.monotonic()
        self._failure_times = [t for t in self._failure_times if now - t < FAILURE_WINDOW_SECONDS] + [now]
        with self._changed:
            self.state, self.engine = "failed", None
        self._abort_all(ApiError(503, "the engine failed and is restarting; send the request again", code="engine_failed"))
        doublings = min(len(self._failure_times) - 1, MAX_PAUSE_DOUBLINGS)
        with self._changed:
            self._changed.wait_for(lambda: self._stopping, RESTART_PAUSE_SECONDS * (2**doublings - 1))

    def _abort_all(self, error: ApiError) -> None:
        with self._changed:
            streams, self._streams = self._streams, []
        for stream in streams:
            stream.cancel()
            self.energy.close(stream.share)
            stream.end(error)

    def _serve(self, engine: Engine) -> None:
        """Compute steps until the worker stops."""
        while True:
            # An engine with canceled sequences has work too: the step that drops them frees their cache.
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._streams or engine.has_work)
                if self._stopping:
                    return
                streams = list(self._streams)
            self.energy.start(self.name)
            for stream in streams:
                self._feed(engine, stream)
            engine.step()
            self._deliver(streams)
            if not (self._streams or engine.has_work):
                self.energy.rest(self.name)

    def _feed(self, engine: Engine, stream: TokenStream) -> None:
        """Give the engine a stream's next sequences: no more than `max_texts` at a time."""
        while stream.num_enqueued < min(len(stream.sequences), stream.num_ended + self._limits.max_texts):
            if stream.num_enqueued == 0:
                self.energy.open(stream.share)
            engine.enqueue(stream.sequences[stream.num_enqueued])
            stream.num_enqueued += 1

    def _deliver(self, streams: Sequence[TokenStream]) -> None:
        """Pass the step's tokens on to their streams, and end the streams that are complete."""
        now = time.monotonic()
        for stream in streams:
            error = self._collect(stream, now)
            done = stream.num_ended == len(stream.sequences) or stream.cancelled or error is not None
            if done or now - stream.flush_time >= self._limits.stream_interval:
                stream.flush(now)
            if stream.running and not stream.admitted.is_set():
                stream.admit()
            if done:
                stream.cancel()
                with self._changed:
                    self._streams.remove(stream)
                self._record_end(stream, now)
                self.energy.close(stream.share, settles=stream.measures_energy)
                stream.end(error)

    def _collect(self, stream: TokenStream, now: float) -> ApiError | None:
        """Read a stream's new tokens; returns an error if one of its sequences failed."""
        error = stream.refusal
        for n in range(stream.num_ended, stream.num_enqueued):
            sequence = stream.sequences[n]
            if tokens := sequence.generated[stream.tokens_read[n] :]:
                stream.pending.setdefault(n, []).extend(tokens)
                self._record_tokens(stream, n, len(tokens), now)
            if not stream.ended[n] and (sequence.finished or sequence.expired):
                stream.ended[n] = True
                error = error or self._error_of(sequence)
        while stream.num_ended < stream.num_enqueued and stream.ended[stream.num_ended]:
            stream.num_ended += 1
        return error

    def _error_of(self, sequence: SequenceState) -> ApiError | None:
        if isinstance(sequence.error, StructureError):
            return structure_error(sequence.error.reason, sequence.request.structure_field)
        if isinstance(sequence.error, UserError):
            return ApiError.of(sequence.error)
        if isinstance(sequence.error, DamagedModelError):
            return damaged_model_response(sequence.error)
        if sequence.error is not None:
            log.error("a request to '%s' failed", self.name, exc_info=sequence.error)
            message = "the model failed on this request; see the server's log"
            return ApiError(500, message, code="internal_error")
        if sequence.finished or sequence.cancelled:
            return None
        return timeout_error(self._limits)

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
            is_done = sequence.finished and sequence.error is None
            reason = (sequence.generated[-1].finish_reason if sequence.generated else None) or (
                "stop" if is_done else "abort"
            )
            self._metrics.record_finish(self.name, reason, sequence.prompt_length, stream.tokens_read[n], seconds)
