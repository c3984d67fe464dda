import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import sqlalchemy as sa

from lmcraft.annotation.audit_log import log as audit_log
from lmcraft.annotation.audit_log.chain import Verification
from lmcraft.annotation.audit_log.log import (
    GENESIS,
    Head,
    Record,
    append,
    append_many,
    audit,
    audit_head,
    head,
    history,
    record_hash,
)
from lmcraft.annotation.audit_log.verification import verify
from lmcraft.annotation.store import ReviewStore
from lmcraft.errors import RunError


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    audit_log.metadata.create_all(engine, tables=[audit, audit_head])
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def test_each_row_holds_the_hash_of_the_row_before_it(connection: sa.Connection) -> None:
    append(connection, "item_added", "ann", "7f3a", {"items": {"id": "7f3a", "state": "pending"}})
    append(connection, "verdict", "bo", "7f3a", {"verdicts": {"comment": "脏话\0\ud800\u2028", "seconds": 0.1}})
    first, second = history(connection, "7f3a")
    assert (first.seq, first.previous, second.seq, second.previous) == (1, GENESIS, 2, first.hash)
    assert head(connection) == Head(2, second.hash)
    assert str(head(connection)) == f"2:{second.hash}"
    assert json.loads(second.payload)["verdicts"] == {"comment": "脏话\0\ud800\u2028", "seconds": 0.1}


def test_the_hash_can_be_computed_without_lmcraft(connection: sa.Connection) -> None:
    append(connection, "verdict", "安", "x", {"verdicts": {"label": "harmful"}}, 1.5)
    (row,) = history(connection, "x")
    assert row.time == "1970-01-01T00:00:01.500000Z"
    fields = {name: getattr(row, name) for name in ("actor", "event", "item", "payload", "previous", "seq", "time")}
    assert hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest() == row.hash == record_hash(row)


def test_many_rows_are_one_chain(connection: sa.Connection) -> None:
    append_many(connection, (("item_added", "ann", str(number), {}) for number in range(2500)))
    append_many(connection, [], 0.0)
    rows = connection.execute(sa.select(audit).order_by(audit.c.seq)).all()
    assert [row.seq for row in rows] == list(range(1, 2501))
    assert [row.previous for row in rows] == [GENESIS, *(row.hash for row in rows[:-1])]
    assert head(connection) == Head(2500, rows[-1].hash)


def test_nothing_is_appended_without_a_head(connection: sa.Connection) -> None:
    connection.execute(audit_head.delete())
    with pytest.raises(RunError, match="lmcraft review verify"):
        append(connection, "verdict", "ann", "x", {})


def test_writers_at_the_same_time_make_one_chain(location: str) -> None:
    people, barrier = ["ann", "安娜", "bo", "cy"], Barrier(4)

    def write(person: str) -> None:
        store = ReviewStore.open(location)  # connections of its own, as of another process
        writer = store.engine.execution_options(immediate=True)  # without the store's own lock
        barrier.wait()
        for number in range(30):
            with writer.begin() as connection:
                append(connection, "verdict", person, "x", {"number": number})
        store.close()

    store = ReviewStore.open(location)
    with ThreadPoolExecutor(len(people)) as pool:
        list(pool.map(write, people))
    rows = history_of(store)
    assert verify(store.engine) == Verification(Head(120, rows[-1].hash), ())
    for person in people:
        assert [json.loads(row.payload)["number"] for row in rows if row.actor == person] == list(range(30))
    store.close()


def history_of(store: ReviewStore) -> list[Record]:
    with store.reading() as (connection, _):
        return history(connection, "x")


def test_a_transaction_that_fails_leaves_no_row(store: ReviewStore) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as (connection, now):
        append(connection, "verdict", "ann", "x", {}, now)
        _ = 1 / 0
    assert history_of(store) == [] and verify(store.engine).problems == ()
