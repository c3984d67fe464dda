"""The state that routes share, and one request's generation: queued, streamed, canceled when the client disconnects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from lmcraft.energy.energy import NO_ENERGY
from lmcraft.server.engine.lens_thread import LensThread
from lmcraft.server.engine.preparation import PreparationThreads
from lmcraft.server.engine.registry import Registry, ServedModel
from lmcraft.server.engine.stream import TokenStream
from lmcraft.server.errors import ApiError
from lmcraft.server.http.document_answers import DocumentAnswers
from lmcraft.server.http.keys import Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.request_builder import PreparedRequest
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation.guard import Guard, JudgedPrompt, open_guard
from lmcraft.server.moderation.held_answer import HeldAnswer, Piece, remove_harmful_alternatives

R = TypeVar("R")


@dataclass(frozen=True)
class ServerState:
    """The parts of a server; `request.app.state.server`."""

    registry: Registry
    limits: Limits
    metrics: Metrics
    keys: Keys
    quotas: Quotas
    guard: Guard | None = None
    """Judges prompts and answers; None: nobody does."""
    documents: DocumentAnswers | None = None
    """Answers chats from documents; None: the model answers by itself."""
    moderator: Guard = field(init=False)
    """The guard, or one with lmcraft's policy for /v1/moderations alone."""
    preparation: PreparationThreads = field(init=False)
    """The threads that turn request bodies into sequences."""
    lenses: LensThread = field(init=False)
    """Reads the layers of models."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "moderator", self.guard or open_guard("default", self.limits, self.metrics))
        object.__setattr__(self, "preparation", PreparationThreads(self.limits, self.registry.serves_others))
        object.__setattr__(self, "lenses", LensThread(self.limits, self.registry.serves_others))

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
    """One request's sequences from the queue to the last token; the caller of `start` must call `finish`.

    Args:
        request: the HTTP request.
        served: the model.
        prepared: the sequences.
        judged: the prompt, if a policy judges it and its answers.
    """

    def __init__(
        self,
        request: Request,
        served: ServedModel,
        prepared: PreparedRequest,
        judged: JudgedPrompt | None = None,
    ) -> None:
        self.served, self.prepared, self._judged = served, prepared, judged
        self._state, self._owner = server_state(request), str(request.state.owner)
        self.generated_tokens = 0
        self._charged_tokens = 0
        self._stream: TokenStream | None = None

    async def start(self) -> None:
        """Charge the quota, queue the sequences, and wait until they are admitted; a refused prompt is not generated from.

        Raises:
            ApiError: the quota is used up or the queue full (429), or the engine is not running (503).
        """
        if not (sequences := self._open_sequences()):
            return
        self._charged_tokens = self.prepared.max_total_tokens
        self._state.quotas.take(self._owner, self._charged_tokens)
        try:
            self._stream = self.served.worker.submit(
                [self.prepared.sequences[n] for n in sequences],
                self._owner,
                measures_energy=self.prepared.measures_energy,
            )
            await self._stream.admitted.wait()
        except BaseException:
            self.finish()
            raise

    @property
    def is_judged(self) -> bool:
        """Whether a policy judges the answers."""
        return self._judged is not None

    @property
    def is_refused(self) -> bool:
        """Whether all prompts are refused."""
        return self._judged is not None and self._judged.is_refused

    def refuses(self, n: int) -> bool:
        """Whether the prompt of a sequence is refused."""
        return self._judged is not None and n // self.prepared.n in self._judged.refused

    def _open_sequences(self) -> list[int]:
        """The numbers of the sequences to generate."""
        return [n for n in range(len(self.prepared.sequences)) if not self.refuses(n)]

    async def __aiter__(self) -> AsyncIterator[tuple[int, Piece]]:
        """Yield sequence numbers with what follows in their texts, and count the tokens. What a policy judges is held back
        until it has been judged."""
        numbers = self._open_sequences()
        if self._judged is not None:
            for n in filter(self.refuses, range(len(self.prepared.sequences))):
                yield n, Piece((), self._judged.refusal)
            if not numbers:
                return
        assert self._stream is not None, "start the generation first"
        answers = self._held_answers()
        async for position, tokens in self._stream:
            n = numbers[position]
            self.generated_tokens += len(tokens)
            if not answers:
                yield n, Piece(tokens)
            elif not answers[n].has_ended and (piece := await answers[n].put(tokens)) is not None:
                yield n, piece
                if piece.refusal is not None:
                    self.prepared.sequences[n].cancelled = True
        if self._judged is not None:
            for sequence in self.prepared.sequences:
                await remove_harmful_alternatives(self._judged, self.served.model.tokenizer, sequence.prompt_scores)

    def _held_answers(self) -> list[HeldAnswer]:
        """An answer for each sequence; empty if nobody judges them."""
        if self._judged is None:
            return []
        tokenizer, n = self.served.model.tokenizer, self.prepared.n
        return [HeldAnswer(self._judged, tokenizer, i // n) for i in range(len(self.prepared.sequences))]

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
        """OpenAI's `usage`, with the energy if the request asks for it."""
        prompt, generated = self.prepared.prompt_tokens, self.generated_tokens
        counts = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}
        return {**counts, "prompt_tokens_details": {"cached_tokens": self.cached_tokens}, **self.energy_usage()}

    def energy_usage(self) -> dict[str, Any]:
        """The field `energy` of a usage, if the request asks for it; before the end, it lacks what was drawn last."""
        if not self.prepared.measures_energy:
            return {}
        energy = NO_ENERGY if self._stream is None else self._stream.share.energy
        return {"energy": self.served.worker.energy.describe(energy)}


async def start_generation(
    request: Request,
    model: str,
    prepare: Callable[[ServedModel], PreparedRequest],
    judged: JudgedPrompt | None = None,
) -> Generation:
    """Get the model, prepare the sequences in a thread, and start generating; the arguments are those of `Generation`.

    Raises:
        ApiError, UserError: as in `ServerState.get_model`, `prepare` and `Generation.start`; the client disconnected.
    """

    async def start() -> Generation:
        state = server_state(request)
        served = await state.get_model(model)
        prepared = await state.preparation.run(request.state.owner, lambda: prepare(served))
        generation = Generation(request, served, prepared, judged)
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
