"""Threads for preparation: one function of an owner at a time, and rests while others are served."""

import asyncio
import threading
import time

import pytest

from lmcraft.server.engine.preparation import REST_RATIO, PreparationThreads
from lmcraft.server.limits import Limits

WORK_SECONDS = 0.05


def test_an_owner_has_one_thread_at_a_time() -> None:
    running, most, lock = 0, 0, threading.Lock()

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    async def run() -> None:
        threads = PreparationThreads(Limits(), lambda owner: False)
        await asyncio.gather(*(threads.run("ada", work) for _ in range(8)))

    asyncio.run(run())
    assert most == 1


@pytest.mark.parametrize("fails", [False, True])
def test_an_owner_rests_while_others_are_served(fails: bool) -> None:
    others_are_served = True
    started: list[float] = []
    ended: list[float] = []

    def work() -> None:
        started.append(time.perf_counter())
        time.sleep(WORK_SECONDS)
        ended.append(time.perf_counter())
        if fails:
            raise ValueError("no")

    async def run() -> None:
        nonlocal others_are_served
        threads = PreparationThreads(Limits(), lambda owner: owner == "ada" and others_are_served)
        await asyncio.gather(*(threads.run("ada", work) for _ in range(2)), return_exceptions=True)
        assert await threads.run("bob", lambda: "of another owner") == "of another owner"
        assert len(started) == 2  # the rest of ada holds back only ada
        others_are_served = False
        await asyncio.gather(threads.run("ada", work), return_exceptions=True)

    asyncio.run(run())
    rests = [start - end for start, end in zip(started[1:], ended, strict=False)]
    assert all(rest >= REST_RATIO * WORK_SECONDS for rest in rests), rests


def test_a_caller_that_leaves_during_a_rest_is_forgotten() -> None:
    calls: list[str] = []

    async def run() -> None:
        threads = PreparationThreads(Limits(), lambda owner: True)
        await threads.run("ada", lambda: time.sleep(WORK_SECONDS))
        waiting = asyncio.ensure_future(threads.run("ada", lambda: calls.append("left")))
        await asyncio.sleep(0)
        waiting.cancel()
        await threads.run("ada", lambda: calls.append("stayed"))

    asyncio.run(run())
    assert calls == ["stayed"]
