"""Whatever is changed in the tables of a review store differs from its audit log."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace as replace_fields
from itertools import product
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmcraft.annotation.agreement.calibration import add_comment, open_round, reveal_round
from lmcraft.annotation.audit_log import replay
from lmcraft.annotation.audit_log.chain import Problem, Verification
from lmcraft.annotation.audit_log.log import head, metadata
from lmcraft.annotation.audit_log.replay import KEYS, replay_log
from lmcraft.annotation.audit_log.verification import compare, snapshot, verify
from lmcraft.annotation.guidelines.guideline import Stratum
from lmcraft.annotation.guidelines.guideline_file import open_guideline
from lmcraft.annotation.guidelines.samples import add_sample
from lmcraft.annotation.queue.reports import report_item
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import AUDITED_ITEM_COLUMNS, items
from tests.annotation.samples import HARM, add_texts, claimed, judge_next

TABLES = ("contents", *KEYS)
SAMPLE = Stratum("answers", {"en": "Answers"}, "answer", 3, ("refused",), at_least=0.5)
UNLOGGED = {
    "items": set(items.c.keys()) - {*AUDITED_ITEM_COLUMNS, "subject"},
    "contents": {"decision", "origin"},
}
"""Columns that are no evidence."""
MAX_ROWS = 3  # of a table that a test edits
VALUES = ("'x'", "NULL", "7777", "x'00ff'", "CAST(x'ff' AS TEXT)")


def fill(store: ReviewStore) -> None:
    """Let something happen of every kind."""
    add_texts(store, "one", "two", "三", "four\0\ud800", messages=[{"role": "user", "content": "ask"}])
    add_texts(store, "one")
    for person, labels in (("ann", ["harmful", "acceptable"]), ("bo", ["harmful", "harmful"])):
        for label in labels:
            judge_next(store, person, label, comment="差", contains=["x"], seconds=0.1)
    judge_next(store, "cy", "acceptable", task="adjudicate")
    item = claimed(store.claim("ann"))
    store.skip(item.id, item.token, "ann", "too long")
    item = claimed(store.claim("bo"))
    store.escalate(item.id, item.token, "bo", "unsure")
    report = NewItem(guideline="harm", answers=["reported"], source="report")
    for reporter in ("dee", "dee", "eve"):
        report_item(store, report, reporter, "harmful", "差")
    add_texts(store, "five", "six", "seven")
    calibration = open_round(store, "first", "harm", "ann", count=2)
    item, _ = judge_next(store, "ann")
    reveal_round(store, calibration["id"], "ann")
    add_comment(store, calibration["id"], item.id, "bo", "c1", "因为")
    sampled = replace_fields(open_guideline("gbt45654"), sampling=(SAMPLE,))
    store.add_guideline(sampled, "ann")
    pool = [NewItem(guideline="gbt45654", answers=[f"text {number}"], source="file") for number in range(9)]
    add_sample(store, "gbt45654", "answers", pool, seed=1, actor="ann")
    store.set_setting("exposure_cap", 7, "ann")
    store.mark_exported([settled.id for settled in store.settled()][:1], "ann", "0" * 64)
    store.add_guideline(replace_fields(HARM, text={"en": "# Harm 2"}), "ann")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    store = ReviewStore.open(Path(tmp_path_factory.mktemp("store")) / "reviews.sqlite")
    fill(store)
    yield store.engine
    store.close()


@pytest.fixture
def tables(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose changes are undone."""
    with engine.connect() as raw:
        raw.connection.execute("PRAGMA foreign_keys=OFF")
    with snapshot(engine) as connection:
        yield connection
        connection.rollback()


def rows_of(connection: sa.Connection, table: str) -> list[int]:
    rows = list(connection.exec_driver_sql(f"SELECT rowid FROM {table}").scalars())
    return rows[:: len(rows) // MAX_ROWS + 1]


def problems_after(connection: sa.Connection, statement: str) -> tuple[Problem, ...]:
    """What a statement leaves to notice; it is undone."""
    try:
        connection.exec_driver_sql(statement)
        return replay_log(connection)
    finally:
        connection.rollback()


def test_a_store_is_what_its_log_says_until_it_is_edited(store: ReviewStore) -> None:
    fill(store)
    assert verify(store.engine).problems == ()
    with store.writing() as (connection, _):
        connection.execute(sa.text("UPDATE verdicts SET seconds = 0.2 WHERE reviewer = 'cy'"))
    assert "has seconds 0.2, but row" in verify(store.engine).problems[0].text
    with store.writing() as (connection, _):
        connection.execute(sa.text("UPDATE audit SET payload = payload || ' ' WHERE seq = 7"))
    assert [problem.seq for problem in verify(store.engine).problems] == [7]


def test_a_store_can_be_verified_while_people_work(store: ReviewStore) -> None:
    add_texts(store, "one", "two")
    with snapshot(store.engine) as connection:
        end = head(connection)
        judge_next(store, "ann")
        assert compare(connection) == Verification(end, ())
    assert verify(store.engine).head.seq == end.seq + 1


@pytest.mark.parametrize("table", TABLES)
def test_an_edit_of_any_column_of_any_row_is_noticed(tables: sa.Connection, table: str) -> None:
    edits = 0
    for column, row, value in product(metadata.tables[table].c.keys(), rows_of(tables, table), VALUES):
        same = f"SELECT count(*) FROM {table} WHERE rowid = {row} AND {column} IS {value}"
        if column in UNLOGGED.get(table, ()) or tables.exec_driver_sql(same).scalar():
            continue
        with suppress(sa.exc.IntegrityError):
            assert problems_after(tables, f"UPDATE {table} SET {column} = {value} WHERE rowid = {row}"), (column, row, value)
            edits += 1
    assert edits


@pytest.mark.parametrize("table", TABLES)
def test_a_removed_row_is_noticed(tables: sa.Connection, table: str) -> None:
    for row in rows_of(tables, table):
        assert problems_after(tables, f"DELETE FROM {table} WHERE rowid = {row}"), row


@pytest.mark.parametrize("table", TABLES)
def test_an_added_row_is_noticed(tables: sa.Connection, table: str) -> None:
    changed = {KEYS.get(table, ("item",))[-1]: "'added'"} | ({"position": "NULL"} if table in ("items", "verdicts") else {})
    changed |= {"item": "'added'"} if table == "verdicts" else {}
    values = ", ".join(changed.get(column, column) for column in [column.name for column in metadata.tables[table].c])
    problems = problems_after(tables, f"INSERT INTO {table} SELECT {values} FROM {table} LIMIT 1")
    if table != "contents":  # of an item that does not exist, so nothing reads it
        assert {problem.seq for problem in problems} == {0} and "added without the log" in problems[0].text


def test_what_was_changed_is_named_with_the_row_of_the_log(tables: sa.Connection) -> None:
    verdict, item, label = tables.exec_driver_sql("SELECT id, item, label FROM verdicts WHERE reviewer = 'cy'").one()
    seq = tables.exec_driver_sql("SELECT seq FROM audit WHERE event = 'adjudicated'").scalar()
    other = f"UPDATE verdicts SET label = 'harmful' WHERE id = '{verdict}'"
    text = f'verdict \'{verdict}\' has label "harmful", but row {seq} of the log says "{label}"'
    assert problems_after(tables, other) == ((seq, text),)
    removed = problems_after(tables, f"DELETE FROM verdicts WHERE id = '{verdict}'")
    assert removed == ((seq, f"verdict '{verdict}' was removed: row {seq} of the log says that it was added"),)
    added = tables.exec_driver_sql(f"SELECT min(seq) FROM audit WHERE item = '{item}'").scalar()
    content = problems_after(tables, f"UPDATE contents SET content = replace(content, 'one', 'two') WHERE item = '{item}'")
    content += problems_after(tables, f"UPDATE contents SET content = replace(content, 'two', 'one') WHERE item = '{item}'")
    assert [problem.text for problem in content] == [
        f"item '{item}' has another content than the one of row {added} of the log: its hash does not fit"
    ]


def test_the_first_problems_are_kept(monkeypatch: pytest.MonkeyPatch, tables: sa.Connection) -> None:
    everything = problems_after(tables, "UPDATE items SET state = 'x'")
    monkeypatch.setattr(replay, "MAX_PROBLEMS", 2)
    assert problems_after(tables, "UPDATE items SET state = 'x'") == everything[:2]
    assert [problem.seq for problem in everything] == sorted(problem.seq for problem in everything)


def test_a_log_that_was_edited_is_no_witness(engine: sa.Engine, tables: sa.Connection) -> None:
    tables.exec_driver_sql("UPDATE audit SET payload = '{}' WHERE seq = 3")
    tables.exec_driver_sql("UPDATE items SET state = 'x'")
    assert [problem.seq for problem in compare(tables).problems] == [3]
