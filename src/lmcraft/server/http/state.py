"""The state that routes share, and one request's generation: queued, streamed, canceled when the client disconnects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.continuation import Token
from lmcraft.server.engine.preparation import PreparationThreads
from lmcraft.server.engine.registry import Registry, ServedModel
from lmcraft.server.engine.stream import TokenStream
from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.request_builder import PreparedRequest
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics

R = TypeVar("R")


@dataclass(frozen=True)
class ServerState:
    """The parts of a server; `request.app.state.server`."""

    registry: Registry
    limits: Limits
    metrics: Metrics
    keys: Keys
    quotas: Quotas
    moderator: str = ""
    """Name of the classifier behind /v1/moderations; empty: none."""
    preparation: PreparationThreads = field(init=False)
    """The threads that turn request bodies into sequences."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "preparation", PreparationThreads(self.limits, self.registry.serves_others))

    async def get_model(self, name: str) -> ServedModel:
        """The model with this name, loaded on the first request for it.

        Raises:
            ApiError: there is no such model.
        """
        served = self.registry.find(name)
        return await run_in_threadpool(self.registry.get, name) if served is None else served


def server_state(request: Request) -> ServerState:
    """The state of the server that received the request."""
    state: ServerState = request.app.state.server
    return state


class Generation:
    """One request's sequences from the queue to the last token; the caller of `start` must call `finish`."""

    def __init__(self, request: Request, served: ServedModel, prepared: PreparedRequest) -> None:
        self.served, self.prepared = served, prepared
        self._state, self._owner = server_state(request), str(request.state.owner)
        self.generated_tokens = 0
        self._charged_tokens = 0
        self._stream: TokenStream | None = None

    async def start(self) -> None:
        """Charge the quota, queue the sequences, and wait until they are admitted.

        Raises:
            ApiError: the quota is used up or the queue full (429), or the engine is not running (503).
        """
        self._charged_tokens = self.prepared.max_total_tokens
        self._state.quotas.take(self._owner, self._charged_tokens)
        try:
            self._stream = self.served.worker.submit(self.prepared.sequences, self._owner)
            await self._stream.admitted.wait()
        except BaseException:
            self.finish()
            raise

    async def __aiter__(self) -> AsyncIterator[tuple[int, list[Token]]]:
        """Yield sequence numbers with their new tokens, and count the tokens."""
        assert self._stream is not None, "start the generation first"
        async for n, tokens in self._stream:
            self.generated_tokens += len(tokens)
            yield n, tokens

    async def wait(self) -> None:
        """Wait for the last token."""
        async for _ in self:
            pass

    def finish(self) -> None:
        """Stop generating, and refund the unused part of the quota; may be called more than once."""
        used_tokens = 0
        if self._stream is not None:
            self._stream.cancel()
            used_tokens = self.prepared.prompt_tokens + self.generated_tokens if self._stream.running else 0
        self._state.quotas.refund(self._owner, max(0, self._charged_tokens - used_tokens))
        self._charged_tokens = 0

    @property
    def cached_tokens(self) -> int:
        """How many tokens of the prompts an earlier request had computed; each prompt counts once."""
        return sum(sequence.num_cached for sequence in self.prepared.sequences[:: self.prepared.n])

    def usage(self) -> dict[str, Any]:
        """OpenAI's `usage`."""
        prompt, generated = self.prepared.prompt_tokens, self.generated_tokens
        counts = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
        return {**counts, "prompt_tokens_details": {"cached_tokens": self.cached_tokens}}


async def start_generation(request: Request, model: str, prepare: Callable[[ServedModel], PreparedRequest]) -> Generation:
    """Get the model, prepare the sequences in a thread, and start generating.

    Raises:
        ApiError, UserError: as in `ServerState.get_model`, `prepare` and `Generation.start`; the client disconnected.
    """

    async def start() -> Generation:
        state = server_state(request)
        served = await state.get_model(model)
        prepared = await state.preparation.run(request.state.owner, lambda: prepare(served))
        generation = Generation(request, served, prepared)
        await generation.start()
        return generation

    return await cancel_on_disconnect(request, start())


async def compute(request: Request, model: str, prepare: Callable[[ServedModel], PreparedRequest]) -> Generation:
    """Like `start_generation`, and wait until all sequences have ended: for requests that generate no text.

    Raises:
        ApiError, UserError: as in `start_generation`; a sequence failed.
    """
    generation = await start_generation(request, model, prepare)
    try:
        await cancel_on_disconnect(request, generation.wait())
    finally:
        generation.finish()
    return generation


async def prepare_in_thread(request: Request, function: Callable[[], R]) -> R:
    """Run a function that Python cannot interrupt, such as a tokenizer, in a thread, when it is the client's turn.

    Raises:
        ApiError: as in `PreparationThreads.run`; the client disconnected.
    """
    return await cancel_on_disconnect(request, server_state(request).preparation.run(request.state.owner, function))


async def cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, R]) -> R:
    """Await `work`, and cancel it if the client disconnects first.

    Raises:
        ApiError: the client disconnected (499, nginx's status for it).
    """
    task: asyncio.Task[R] = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(_wait_for_disconnect(request.receive))
    try:
        await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(499, "the client disconnected", code="client_closed_request")
        return task.result()
    finally:
        disconnect.cancel()
        task.cancel()


async def _wait_for_disconnect(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
