"""Admission on the event loop: a limit on concurrent requests, with a bounded queue that is fair among owners."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lmcraft.server.engine.queue import FairQueue, QueueFull
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 1, 60


class AdmissionGate:
    """Admits `limits.max_num_seqs` requests at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free_slots = limits.max_num_seqs
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(limits.max_queue)

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it while in the context.

        Raises:
            ApiError: the queue is full (429).
        """
        if self._free_slots:
            self._free_slots -= 1
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._release()

    async def _wait(self, owner: str) -> None:
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        full = queue_full_error(len(self._queue), self._limits, MIN_RETRY_SECONDS)
        try:
            displaced = self._queue.put(owner, admitted)
        except QueueFull as error:
            raise full from error
        if displaced is not None and not displaced.done():
            displaced.set_exception(full)
        try:
            await admitted
        except asyncio.CancelledError:
            granted = admitted.done() and not admitted.cancelled() and admitted.exception() is None
            if not self._queue.remove(admitted) and granted:
                self._release()  # the slot was granted just before the cancellation
            raise

    def _release(self) -> None:
        """Hand the slot to the next request in the queue, or free it."""
        while (entry := self._queue.get()) is not None:
            _, admitted = entry
            if not admitted.done():
                admitted.set_result(None)
                return
        self._free_slots += 1


def queue_full_error(waiting: int, limits: Limits, wait_seconds: float) -> ApiError:
    """The error for a request that finds the queue full; `wait_seconds` is the estimated wait."""
    retry_after = str(max(MIN_RETRY_SECONDS, min(MAX_RETRY_SECONDS, round(wait_seconds))))
    message = f"{waiting} requests are already queued (max_queue={limits.max_queue}); try again in {retry_after} s"
    return ApiError(429, message, code="queue_full", values={"waiting": waiting}, headers={"Retry-After": retry_after})


def timeout_error(limits: Limits) -> ApiError:
    """The error for a request that takes longer than it may."""
    message = f"the request did not finish within {limits.request_timeout:g} s (request_timeout); lower max_tokens, or retry"
    return ApiError(504, message, code="timeout", values={"seconds": limits.request_timeout})
