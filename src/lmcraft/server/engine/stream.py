"""Carries results from the engine's thread to the event loop, as streams of tokens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import SequenceState
from lmcraft.server.engine.energy_ledger import EnergyShare
from lmcraft.server.errors import ApiError

Chunk = dict[int, list[Token]]
"""Tokens that are passed on together, by sequence number."""


@dataclass(frozen=True)
class _End:
    """The last item of a stream; has an error if the stream failed."""

    error: ApiError | None = None


class TokenStream:
    """The tokens of one request's sequences, with their sequence numbers.

    Args:
        sequences: the sequences.
        owner: of the request.
        loop: the event loop that reads the stream.
        share: of the energy; it is complete at the end if `measures_energy` is set, and soon after it otherwise.
        measures_energy: whether the answer reports its energy.
    """

    def __init__(
        self,
        sequences: Sequence[SequenceState],
        owner: str,
        loop: asyncio.AbstractEventLoop,
        share: EnergyShare,
        *,
        measures_energy: bool = False,
    ) -> None:
        self.sequences, self.owner = sequences, owner
        self.share, self.measures_energy = share, measures_energy
        self.arrival_time = time.monotonic()
        self.admitted = asyncio.Event()
        """Set when the request leaves the queue, for whatever reason."""
        self.refusal: ApiError | None = None
        """Why the request was dropped from the queue."""
        self.cancelled = False
        self._loop = loop
        self._items: asyncio.Queue[Chunk | _End] = asyncio.Queue()
        # Only the engine's thread uses these:
        self.num_enqueued = 0
        """How many of the sequences the engine has been given."""
        self.num_ended = 0
        """How many of the first sequences have ended, all of them."""
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

    @property
    def running(self) -> bool:
        """Whether the engine has started one of the sequences."""
        return any(sequence.started for sequence in self.sequences[: self.num_enqueued])

    def cancel(self) -> None:
        """Stop generating; does nothing after the end."""
        self.cancelled = True
        for sequence in self.sequences:
            sequence.cancelled = True

    def refuse(self, error: ApiError) -> None:
        """Drop the request from the queue, with an error."""
        self.refusal = error
        self.cancel()

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
