"""Streams of tokens and results of calls, as the event loop and the engine's thread share them."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from lmcraft.inference.continuation import Token
from lmcraft.server.engine.energy_ledger import EnergyShare
from lmcraft.server.engine.stream import TokenStream
from lmcraft.server.errors import ApiError


def token(token_id: int) -> Token:
    return Token(row=0, id=token_id, logprob=0.0, text="", finish_reason=None)


def new_stream(sequences: list[Any]) -> TokenStream:
    return TokenStream(sequences, "ada", asyncio.get_running_loop(), EnergyShare("tiny", sequences))


def test_tokens_arrive_in_chunks_until_the_end() -> None:
    async def scenario() -> list[tuple[int, list[int]]]:
        stream = new_stream([SimpleNamespace(cancelled=False), SimpleNamespace(cancelled=False)])
        stream.pending = {0: [token(1), token(2)], 1: [token(3)]}
        stream.flush(now=1.0)
        stream.flush(now=2.0)  # nothing is pending: no chunk
        stream.pending = {1: [token(4)]}
        stream.flush(now=3.0)
        stream.end()
        return [(n, [t.id for t in tokens]) async for n, tokens in stream]

    assert asyncio.run(scenario()) == [(0, [1, 2]), (1, [3]), (1, [4])]


def test_leaving_early_cancels_the_sequences() -> None:
    async def scenario() -> None:
        sequence = SimpleNamespace(cancelled=False)
        stream = new_stream([sequence])
        stream.pending = {0: [token(1)]}
        stream.flush(now=1.0)
        iterator = stream.__aiter__()
        await anext(iterator)
        await iterator.aclose()  # type: ignore[attr-defined]
        assert sequence.cancelled and stream.cancelled

    asyncio.run(scenario())


def test_an_error_is_raised_after_the_last_tokens() -> None:
    async def scenario() -> list[int]:
        stream, ids = new_stream([SimpleNamespace(cancelled=False)]), []
        stream.pending = {0: [token(1)]}
        stream.flush(now=1.0)
        stream.end(ApiError(504, "too slow"))
        with pytest.raises(ApiError, match="too slow"):
            async for _, tokens in stream:
                ids += [t.id for t in tokens]
        assert stream.admitted.is_set()  # a request that ends in the queue waits no longer
        return ids

    assert asyncio.run(scenario()) == [1]
