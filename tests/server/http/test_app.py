"""What the application does beside answering."""

import asyncio
import sys
from types import SimpleNamespace

import pytest
from fastapi import FastAPI

from lmcraft.server.http import app


@pytest.mark.skipif(sys.platform != "linux", reason="only there is it known how")
def test_freed_memory_is_given_back_while_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    pads: list[int] = []
    monkeypatch.setattr(app, "TRIM_INTERVAL", 0.01)
    monkeypatch.setattr(app, "CDLL", lambda _: SimpleNamespace(malloc_trim=pads.append))
    serving = FastAPI()
    serving.state.serving = SimpleNamespace(registry=SimpleNamespace(workers=list))
    serving.state.upstream = None

    async def live() -> None:
        async with app._lifespan(serving):
            while len(pads) < 2:
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(live(), 10))
    assert set(pads) == {0}
