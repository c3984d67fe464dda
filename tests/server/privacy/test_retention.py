"""What is older than the retention goes, for good, and what is not stays."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmcraft.errors import RunError
from lmcraft.server.conversations.tables import conversations, responses
from lmcraft.server.privacy import retention
from lmcraft.server.privacy.key_data import count_data
from lmcraft.server.privacy.retention import Housekeeping, delete_old, interval_seconds, purge_all
from lmcraft.server.privacy.stores import Stores
from tests.server.privacy.conftest import MARKER, OTHER, Place, fill


def age(stores: Stores, owner: str, seconds: float) -> None:
    """Make conversations and responses of an owner older."""
    assert stores.database is not None
    with stores.database.begin() as connection:
        for table, column in ((conversations, conversations.c.updated), (responses, responses.c.created)):
            connection.execute(table.update().where(table.c.owner == owner).values({column: column - seconds}))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_old_data_leaves_no_byte_and_new_data_stays(place: Place, stores: Stores) -> None:
    fill(stores, "ada", MARKER)
    fill(stores, "ben", OTHER)
    age(stores, "ada", 3600.0)
    assert delete_old(stores, time.time() - 1800.0) == {
        "conversations": 3,
        "responses": 3,
        "review items": 0,
        "logged prompts": 2,
    }
    assert count_data(stores, "ben")["conversations"] == 3
    assert count_data(stores, "ada").total() == 3  # the items of reviews are new
    assert delete_old(stores, time.time() + 1.0)["review items"] == 6
    purge_all(stores)
    assert place.files_with(MARKER) == place.files_with(OTHER) == []


def test_the_thread_sweeps_at_the_start_and_again(sqlite_stores: Stores) -> None:
    fill(sqlite_stores, "ada", MARKER, count=1)
    moments = [time.time()]
    thread = Housekeeping(sqlite_stores, 30.0, lambda: moments[-1])
    moments.append(time.time() + 60.0)
    wait_until(lambda: not count_data(sqlite_stores, "ada").total())
    thread.close()


def test_a_purge_that_was_asked_for_comes_once(sqlite_stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    purges = []
    monkeypatch.setattr(retention, "purge_all", purges.append)
    thread = Housekeeping(sqlite_stores, 0.0)
    thread.purge_soon()
    wait_until(lambda: len(purges) == 1)
    for _ in range(10):
        thread.purge_soon()
    thread.close()
    assert len(purges) == 2


def test_a_store_that_fails_does_not_keep_the_others_from_being_swept(
    sqlite_stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fill(sqlite_stores, "ada", MARKER, count=1)

    def fail(engine: sa.Engine, moment: float) -> None:
        raise RunError("no disk")

    monkeypatch.setattr(retention, "delete_before", fail)
    with pytest.raises(RunError, match="no disk"):
        delete_old(sqlite_stores, time.time() + 1.0)
    assert count_data(sqlite_stores, "ada")["review items"] == count_data(sqlite_stores, "ada")["logged prompts"] == 0
    thread = Housekeeping(sqlite_stores, 30.0, lambda: math.inf)
    wait_until(lambda: "no disk" in caplog.text)
    thread.close()


def test_sweeps_are_frequent_for_short_retentions() -> None:
    assert [interval_seconds(seconds) for seconds in (1.0, 3600.0, 30 * 86400.0, 1e9)] == [1.0, 120.0, 86400.0, 86400.0]


def test_a_log_file_that_is_gone_is_no_problem(tmp_path: Path) -> None:
    assert delete_old(Stores(prompt_log=tmp_path / "none.jsonl"), 0.0) == {"logged prompts": 0}
