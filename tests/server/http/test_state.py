"""One request's generation: the quota it is charged, and the client that disconnects."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmcraft.inference.continuation import Token
from lmcraft.server.errors import ApiError
from lmcraft.server.http.keys import Key, Keys
from lmcraft.server.http.quotas import Quotas
from lmcraft.server.http.state import Generation, cancel_on_disconnect

TOKEN = Token(row=0, id=1, logprob=0.0, text="", finish_reason=None)


class Stream:
    """A stream that is admitted immediately and yields two tokens."""

    def __init__(self) -> None:
        self.admitted, self.cancelled, self.running = asyncio.Event(), False, True
        self.admitted.set()

    async def __aiter__(self) -> Any:
        yield 0, [TOKEN, TOKEN]

    def cancel(self) -> None:
        self.cancelled = True


def new_generation(submit: Any, quotas: Quotas) -> Generation:
    state = SimpleNamespace(quotas=quotas)
    request = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(server=state)), state=SimpleNamespace(owner="ada"))
    served = SimpleNamespace(worker=SimpleNamespace(submit=submit))
    prepared = SimpleNamespace(
        prompt_tokens=5, max_total_tokens=80, n=1, sequences=(SimpleNamespace(num_cached=3),), measures_energy=False
    )
    return Generation(cast(Any, request), cast(Any, served), cast(Any, prepared))


def tokens_left(quotas: Quotas) -> int:
    return int(quotas._tokens["ada"]._level)


def new_quotas() -> Quotas:
    return Quotas(Keys([Key("ada", "0" * 64, tokens_per_minute=100)]), clock=lambda: 0.0)


def test_the_maximum_is_charged_and_the_unused_part_refunded_once() -> None:
    async def scenario() -> None:
        quotas, stream = new_quotas(), Stream()
        generation = new_generation(lambda sequences, owner, measures_energy: stream, quotas)
        await generation.start()
        assert tokens_left(quotas) == 20
        assert [n async for n, _ in generation] == [0]
        counts = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
        assert generation.usage() == {**counts, "prompt_tokens_details": {"cached_tokens": 3}}
        for _ in range(2):
            generation.finish()
            assert tokens_left(quotas) == 93 and stream.cancelled

    asyncio.run(scenario())


def test_a_request_that_the_queue_refuses_is_refunded() -> None:
    def refuse(sequences: object, owner: str, measures_energy: bool) -> Any:
        raise ApiError(429, "full")

    async def scenario() -> None:
        quotas = new_quotas()
        with pytest.raises(ApiError, match="full"):
            await new_generation(refuse, quotas).start()
        assert tokens_left(quotas) == 100

    asyncio.run(scenario())


def test_work_is_canceled_when_the_client_disconnects() -> None:
    cancelled = []

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def scenario() -> None:
        async def receive() -> dict[str, str]:
            await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        with pytest.raises(ApiError, match="the client disconnected") as caught:
            await cancel_on_disconnect(cast(Any, SimpleNamespace(receive=receive)), work())
        assert caught.value.status == 499
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert cancelled == [True]


def test_work_that_finishes_first_returns_its_result_or_raises() -> None:
    async def receive() -> dict[str, str]:
        await asyncio.sleep(10)
        raise AssertionError

    async def value() -> int:
        return 7

    async def failure() -> int:
        raise ApiError(400, "no")

    async def scenario() -> None:
        request = cast(Any, SimpleNamespace(receive=receive))
        assert await cancel_on_disconnect(request, value()) == 7
        with pytest.raises(ApiError, match="no"):
            await cancel_on_disconnect(request, failure())

    asyncio.run(scenario())
