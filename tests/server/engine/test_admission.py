"""The gate in front of an upstream engine."""

import asyncio

import pytest

from lmcraft.server.engine.admission import AdmissionGate
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits


def test_slots_are_handed_on_fairly() -> None:
    async def scenario() -> list[str]:
        gate, order = AdmissionGate(Limits(max_num_seqs=1, max_queue=3)), []

        async def hold_slot(owner: str) -> None:
            async with gate.slot(owner):
                order.append(owner)
                await asyncio.sleep(0)

        async with gate.slot("first"):
            tasks = [asyncio.create_task(hold_slot(owner)) for owner in ("a", "a", "b")]
            await asyncio.sleep(0)
            with pytest.raises(ApiError, match="3 requests are already queued"):
                await hold_slot("b")
            tasks.pop().cancel()
            await asyncio.sleep(0)
            tasks.append(asyncio.create_task(hold_slot("b")))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return order

    assert asyncio.run(scenario()) == ["a", "b", "a"]


def test_the_owner_with_the_most_makes_room_for_another() -> None:
    async def scenario() -> list[object]:
        gate = AdmissionGate(Limits(max_num_seqs=1, max_queue=3))

        async def hold_slot(owner: str) -> str:
            async with gate.slot(owner):
                return owner

        async with gate.slot("a"):
            tasks = [asyncio.create_task(hold_slot(owner)) for owner in "aaab"]
            await asyncio.sleep(0)
        return await asyncio.gather(*tasks, return_exceptions=True)

    first, second, third, other = asyncio.run(scenario())
    assert (first, second, other) == ("a", "a", "b")
    assert isinstance(third, ApiError) and third.status == 429
