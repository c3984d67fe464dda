"""What every endpoint works with, and how it waits: for its turn, for the engine, and for a client that may leave."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lmcraft.server.engine.registry import Registry, Served
from lmcraft.server.engine.stream import Stream
from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.request_builder import Asked
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

R = TypeVar("R")
# So that hostile grammars, which take a second and 100 MB to compile, can have neither all cores nor all memory: each thread
# keeps what it has once needed.
ASKING = 2


@dataclass(frozen=True)
class Serving:
    """The parts of a server; `request.app.state.serving`."""

    registry: Registry
    limits: Limits
    metrics: Metrics
    keys: Keys
    quotas: Quotas
    moderator: str = ""
    """Name of the classifier that moderates; empty: none."""
    asking: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ASKING))
    """Threads that make of requests what the engine takes."""

    async def model(self, name: str) -> Served:
        """The model of a name, opened if need be.

        Raises:
            ApiError: there is no such model.
        """
        return await run_in_threadpool(self.registry.get, name)


def serving_of(request: Request) -> Serving:
    serving: Serving = request.app.state.serving
    return serving


class Answer:
    """Texts on their way to a client: use it as an asynchronous context, which settles the quota at its end."""

    def __init__(self, request: Request, served: Served, asked: Asked) -> None:
        self.serving, self.served, self.asked = serving_of(request), served, asked
        self.owner: str = request.state.owner
        self.generated = 0
        """Tokens so far."""
        self._taken = 0
        self.stream: Stream | None = None

    async def begin(self) -> None:
        """Queue it, and wait until its turn has come.

        Raises:
            ApiError: the quota is used up or the queue full (429), the engine does not run (503).
        """
        self._taken = self.asked.most_tokens
        self.serving.quotas.take(self.owner, self._taken)
        try:
            self.stream = self.served.worker.submit(self.asked.sequences, self.owner)
            await self.stream.admitted.wait()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Give up what is not found yet, and give back the part of the quota that was not used. Once is enough."""
        if self.stream is not None:
            self.stream.cancel()
        self.serving.quotas.give_back(self.owner, max(0, self._taken - self.asked.prompt_tokens - self.generated))
        self._taken = 0

    def usage(self) -> dict[str, int]:
        """OpenAI's count of tokens."""
        prompt = self.asked.prompt_tokens
        return {"prompt_tokens": prompt, "completion_tokens": self.generated, "total_tokens": prompt + self.generated}


async def begin(request: Request, name: str, ask: Callable[[Served], Asked]) -> Answer:
    """Find the model, make of the request what the engine takes, queue it and wait for its turn.

    Raises:
        ApiError, UserError: as its parts do.
    """

    async def work() -> Answer:
        served = await serving_of(request).model(name)
        asked = await to_thread.run_sync(ask, served, limiter=serving_of(request).asking)
        answer = Answer(request, served, asked)
        await answer.begin()
        return answer

    return await until_gone(request, work())


async def call(request: Request, served: Served, function: Callable[[Any], R], tokens: int) -> R:
    """What `function` says of the model's engine; `tokens` are taken from the quota.

    Raises:
        ApiError: as in `Worker.call`, or the quota is used up.
    """
    owner: str = request.state.owner
    serving_of(request).quotas.take(owner, tokens)
    return await until_gone(request, served.worker.call(function, owner))


async def until_gone(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """What `work` comes to, which is given up when the client leaves.

    Raises:
        ApiError: it has left.
    """
    task: asyncio.Task[R] = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request.receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client has left", code="client_closed_request")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
