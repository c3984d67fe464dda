"""Carries results from the engine's thread to the event loop: streams of tokens, and results of calls."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import SequenceState
from lmcraft.server.errors import ApiError

Chunk = dict[int, list[Token]]
"""Tokens that are passed on together, by sequence number."""


@dataclass(frozen=True)
class _End:
    """The last item of a stream; has an error if the stream failed."""

    error: ApiError | None = None


class TokenStream:
    """The tokens of one request's sequences, with their sequence numbers."""

    def __init__(
        self,
        sequences: Sequence[SequenceState],
        loop: asyncio.AbstractEventLoop,
        remove_from_queue: Callable[["TokenStream"], None],
    ) -> None:
        self.sequences = sequences
        self._remove_from_queue = remove_from_queue
        self.arrival_time = time.monotonic()
        self.admitted = asyncio.Event()
        """Set when the request leaves the queue, for whatever reason."""
        self._loop = loop
        self._items: asyncio.Queue[Chunk | _End] = asyncio.Queue()
        # Only the engine's thread uses these:
        self.tokens_read = [0] * len(sequences)
        """Number of tokens read so far, by sequence number."""
        self.pending: Chunk = {}
        """Tokens that the next `flush` passes on."""
        self.flush_time = 0.0
        self.ended = [False] * len(sequences)
        self.last_token_time = 0.0

    async def __aiter__(self) -> AsyncIterator[tuple[int, list[Token]]]:
        """Yield sequence numbers with their new tokens. Leaving the loop early cancels all sequences."""
        try:
            while not isinstance(item := await self._items.get(), _End):
                for numbered_tokens in item.items():
                    yield numbered_tokens
            if item.error is not None:
                raise item.error
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop generating; does nothing after the end."""
        for sequence in self.sequences:
            sequence.cancelled = True
        self._remove_from_queue(self)

    def flush(self, now: float) -> None:
        """Pass the pending tokens on to the event loop; callable from any thread."""
        chunk, self.pending, self.flush_time = self.pending, {}, now
        if chunk:
            self._loop.call_soon_threadsafe(self._items.put_nowait, chunk)

    def end(self, error: ApiError | None = None) -> None:
        """Mark the end of the stream; callable from any thread."""
        self._loop.call_soon_threadsafe(self._end, _End(error))

    def admit(self) -> None:
        """Signal that the request has left the queue; callable from any thread."""
        self._loop.call_soon_threadsafe(self.admitted.set)

    def _end(self, end: _End) -> None:
        self._items.put_nowait(end)
        self.admitted.set()


@dataclass(eq=False)
class EngineCall:
    """A function to run between two steps of the engine."""

    function: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    result: "asyncio.Future[Any]"
    deadline: float

    def resolve(self, value: Any, error: Exception | None) -> None:
        """Set the result; callable from any thread."""

        def set_result() -> None:
            if self.result.done():  # the caller was canceled
                return
            if error is None:
                self.result.set_result(value)
            else:
                self.result.set_exception(error)

        self.loop.call_soon_threadsafe(set_result)
