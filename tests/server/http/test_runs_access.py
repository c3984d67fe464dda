import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lmcraft.runs.index import RunIndex, UnknownRunError
from lmcraft.server.errors import ApiError
from lmcraft.server.http import runs_access
from lmcraft.server.http.runs_access import WatchedRuns
from tests.runs.written_run import WrittenRun


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WatchedRuns:
    monkeypatch.setattr(runs_access, "ROUND_SECONDS", 0.01)
    monkeypatch.setattr(runs_access, "CHECK_SECONDS", 0.01)
    return WatchedRuns(RunIndex(tmp_path))


def test_a_change_ends_the_wait(runs: WatchedRuns, tmp_path: Path) -> None:
    runs.touch()
    cursor = runs.index.cursor

    async def wait() -> None:
        waiting = asyncio.create_task(runs.wait_for_change(cursor, 20))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        WrittenRun(tmp_path / "a")
        await waiting

    asyncio.run(wait())
    assert runs.index.has_changed(cursor)
    runs.close()


def test_the_end_of_the_server_ends_the_wait(runs: WatchedRuns) -> None:
    runs.touch()

    async def wait() -> None:
        waiting = asyncio.create_task(runs.wait_for_change(runs.index.cursor, 20))
        await asyncio.sleep(0.02)
        runs.close()
        await waiting

    with pytest.raises(ApiError, match="shutting down"):
        asyncio.run(wait())


def test_nobody_looks_at_the_folder_until_the_next_request(
    runs: WatchedRuns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs_access, "INTEREST_SECONDS", 0.02)
    runs.touch()
    while runs.is_watching:
        time.sleep(0.01)
    WrittenRun(tmp_path / "a")
    time.sleep(0.03)
    assert runs.index.runs() == []
    runs.touch()
    assert [run.id for run in runs.index.runs()] == ["a"]
    runs.close()


def test_many_at_once_get_a_run_that_nobody_has_listed(runs: WatchedRuns, tmp_path: Path) -> None:
    WrittenRun(tmp_path / "a")
    with ThreadPoolExecutor(8) as threads:
        assert {run.id for run in threads.map(runs.get, ["a"] * 8)} == {"a"}
    with pytest.raises(UnknownRunError):
        runs.get("b")
