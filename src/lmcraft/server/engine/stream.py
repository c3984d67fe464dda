"""What the event loop holds of work in the engine's thread: a stream of tokens, or the answer to a call."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lmcraft.inference.continuation import Token
from lmcraft.inference.request import Sequence as Growing
from lmcraft.server.errors import ApiError

R = TypeVar("R")


Piece = dict[int, list[Token]]
"""Tokens that are passed on together, by the number of their text."""


@dataclass(frozen=True)
class _End:
    """The last thing that a stream gives: nothing more, or an error."""

    error: ApiError | None = None


class Stream:
    """The tokens of texts that were asked for together, each with the number of its text."""

    def __init__(
        self, sequences: Sequence[Growing], loop: asyncio.AbstractEventLoop, leave: Callable[["Stream"], None]
    ) -> None:
        """`leave` takes it out of the queue, if it is there."""
        self.sequences = sequences
        self._leave = leave
        self.arrived = time.monotonic()
        self.admitted = asyncio.Event()
        """Set when it leaves the queue, or ends there."""
        self._loop = loop
        self._given: asyncio.Queue[Piece | _End] = asyncio.Queue()
        # Of the engine's thread:
        self.read = [0] * len(sequences)
        """How many tokens of each text have been seen."""
        self.piece: Piece = {}
        """What is to be passed on next."""
        self.passed = 0.0
        """When a piece was last passed on."""
        self.ended = [False] * len(sequences)
        self.last = 0.0
        """When its last token came."""

    async def __aiter__(self) -> AsyncIterator[tuple[int, list[Token]]]:
        """The next tokens of one of the texts; leaving early gives all of them up."""
        try:
            while not isinstance(item := await self._given.get(), _End):
                for text in item.items():
                    yield text
            if item.error is not None:
                raise item.error
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Give up what has not been found yet."""
        for sequence in self.sequences:
            sequence.cancelled = True
        self._leave(self)

    def pass_on(self, now: float) -> None:
        """Pass on what has come; from any thread."""
        piece, self.piece, self.passed = self.piece, {}, now
        if piece:
            self._loop.call_soon_threadsafe(self._given.put_nowait, piece)

    def end(self, error: ApiError | None = None) -> None:
        """Say that there is no more; from any thread."""
        self._loop.call_soon_threadsafe(self._end, _End(error))

    def admit(self) -> None:
        """Say that its turn has come; from any thread."""
        self._loop.call_soon_threadsafe(self.admitted.set)

    def _end(self, end: _End) -> None:
        self._given.put_nowait(end)
        self.admitted.set()


@dataclass(eq=False)
class _Call:
    """A function of the engine, for between two steps."""

    function: Callable[[Any], Any]
    loop: asyncio.AbstractEventLoop
    answer: "asyncio.Future[Any]"
    deadline: float

    def settle(self, value: Any, error: Exception | None) -> None:
        def put() -> None:
            if self.answer.done():  # whoever asked has gone
                return
            if error is None:
                self.answer.set_result(value)
            else:
                self.answer.set_exception(error)

        self.loop.call_soon_threadsafe(put)
