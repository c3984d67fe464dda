"""Turns on the event loop: so many requests at once, the rest in a queue that is bounded and fair among owners."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lmcraft.server.engine.queue import FairQueue, QueueFull
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits


class Gate:
    """Lets `limits.max_num_seqs` requests pass at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._free = limits.max_num_seqs
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(limits.max_queue)

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """Wait for a turn, and hold it.

        Raises:
            ApiError: too many wait already (429).
        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(owner)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, owner: str) -> None:
        ours: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        try:
            self._queue.put(owner, ours)
        except QueueFull as error:
            raise queue_full(len(self._queue), self._limits, 1) from error
        try:
            await ours
        except asyncio.CancelledError:
            if not self._queue.remove(ours) and ours.done() and not ours.cancelled():
                self._pass_on()  # the turn came as its owner left
            raise

    def _pass_on(self) -> None:
        while (following := self._queue.get()) is not None:
            if not following.done():
                following.set_result(None)
                return
        self._free += 1


def queue_full(waiting: int, limits: Limits, seconds: float) -> ApiError:
    """The refusal of a request for which there is no place left; `seconds` are what it is advised to wait."""
    after = str(max(1, min(60, round(seconds))))
    said = f"{waiting} requests wait already (max_queue={limits.max_queue}): try again in {after} s"
    return ApiError(429, said, code="queue_full", headers={"Retry-After": after})
