"""Every way to tamper with an audit log is noticed, and the first row that it touched is named."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lmcraft.annotation.audit_log.chain import Verification, walk_chain
from lmcraft.annotation.audit_log.log import (
    Head,
    Record,
    append_many,
    audit,
    audit_head,
    head,
    record_hash,
)
from lmcraft.annotation.audit_log.verification import snapshot

ROWS = 9
COLUMNS = audit.c.keys()
NUMBERS = st.integers(1, ROWS)
VALUES = st.one_of(st.none(), st.text(max_size=8), st.binary(max_size=8), st.integers(-5, 20), st.floats(-5, 20))


@pytest.fixture(scope="module")
def engine() -> Iterator[sa.Engine]:
    """A log whose columns take any value: whoever can write to a database can rebuild its tables."""
    opened = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with opened.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE audit ({', '.join(COLUMNS)})")
        connection.exec_driver_sql("CREATE TABLE audit_head (id, seq, hash)")
        connection.execute(audit_head.insert().values(id=1, seq=0, hash="0" * 64))
        rows = [("verdict", "安娜", f"item-{number % 3}", {"verdicts": {"id": number}}) for number in range(ROWS)]
        append_many(connection, rows, 1.0)
    yield opened
    opened.dispose()


@pytest.fixture
def log(engine: sa.Engine) -> Iterator[sa.Connection]:
    with snapshot(engine) as connection:
        yield connection
        connection.rollback()


def check(connection: sa.Connection, *anchors: Head) -> Verification:
    """The verification of the log as it is now; undoes what the test did to it."""
    try:
        return walk_chain(connection, anchors)
    finally:
        connection.rollback()


def named(connection: sa.Connection, *anchors: Head) -> int:
    """The row that the verification names; its sentence names it, too."""
    (problem,) = check(connection, *anchors).problems
    assert re.search(rf"\b{problem.seq}\b", problem.text), problem
    return problem.seq


def records(connection: sa.Connection) -> list[Record]:
    return [Record(*row) for row in connection.execute(sa.select(audit).order_by(audit.c.seq))]


def replace(connection: sa.Connection, rows: list[Record]) -> None:
    """Make these the log."""
    connection.execute(audit.delete())
    for row in rows:
        names = ", ".join(f":{name}" for name in COLUMNS)
        connection.execute(sa.text(f"INSERT INTO audit VALUES ({names})"), row._asdict())


def forge(rows: list[Record], start: int) -> list[Record]:
    """The rows with numbers and hashes that fit, from an index on."""
    chain = rows[:start]
    for row in rows[start:]:
        previous = chain[-1].hash if chain else "0" * 64
        forged = row._replace(seq=len(chain) + 1, previous=previous)
        chain.append(forged._replace(hash=record_hash(forged)))
    return chain


def test_an_untouched_log_is_intact(log: sa.Connection) -> None:
    end = head(log)
    assert check(log, end, Head(0, "0" * 64), Head(4, records(log)[3].hash)) == Verification(end, ())


fast = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)


@fast
@given(number=NUMBERS, column=st.sampled_from(COLUMNS), value=VALUES)
def test_an_edit_of_any_column_is_noticed(log: sa.Connection, number: int, column: str, value: Any) -> None:
    row = records(log)[number - 1]
    assume((type(value), value) != (type(getattr(row, column)), getattr(row, column)))
    log.execute(sa.text(f"UPDATE audit SET {column} = :value WHERE seq = {number}"), {"value": value})
    assert named(log) == number


@fast
@given(first=NUMBERS, second=NUMBERS)
def test_two_rows_that_change_places_are_noticed(log: sa.Connection, first: int, second: int) -> None:
    assume(first < second)
    rows = records(log)
    one, other = rows[first - 1], rows[second - 1]
    rows[first - 1], rows[second - 1] = other._replace(seq=first), one._replace(seq=second)
    replace(log, rows)
    assert named(log) == first


@fast
@given(rows=st.permutations(range(ROWS)), renumber=st.booleans())
def test_any_other_order_is_noticed(log: sa.Connection, rows: list[int], renumber: bool) -> None:
    moved = [number for number, row in enumerate(rows, start=1) if row + 1 != number]
    assume(moved)
    originals = records(log)
    replace(log, [originals[row]._replace(seq=number) for number, row in enumerate(rows, start=1)])
    assert named(log) == moved[0]


@fast
@given(first=NUMBERS, count=st.integers(1, ROWS), mode=st.sampled_from(["keep", "renumber"]))
def test_removed_rows_are_noticed(log: sa.Connection, first: int, count: int, mode: str) -> None:
    rows = records(log)
    del rows[first - 1 : first - 1 + count]
    replace(log, rows if mode == "keep" else [row._replace(seq=seq) for seq, row in enumerate(rows, start=1)])
    assert named(log) == first


@fast
@given(first=NUMBERS)
def test_a_log_that_was_cut_off_with_its_head_needs_an_anchor(log: sa.Connection, first: int) -> None:
    rows = records(log)
    end, kept = head(log), rows[: first - 1]
    replace(log, kept)
    log.execute(audit_head.update().values(seq=len(kept), hash=kept[-1].hash if kept else "0" * 64))
    assert walk_chain(log).problems == ()
    assert named(log, end) == first


@fast
@given(source=NUMBERS, number=st.integers(1, ROWS + 1), shift=st.booleans())
def test_a_copied_row_is_noticed(log: sa.Connection, source: int, number: int, shift: bool) -> None:
    rows = records(log)
    copy = rows[source - 1]._replace(seq=number)
    later = [row._replace(seq=row.seq + shift) for row in rows[number - 1 :]]
    replace(log, [*rows[: number - 1], copy, *later])
    assert named(log) == number + (source == number and shift)  # of two equal rows the first is the one that was written


@fast
@given(number=st.integers(1, ROWS - 1), actor=st.text(max_size=5), depth=st.integers(0, ROWS))
def test_hashes_computed_again_are_noticed_where_they_end(log: sa.Connection, number: int, actor: str, depth: int) -> None:
    """Whoever edits a row and computes the hashes of some rows from there on breaks the chain after the last of them."""
    rows = records(log)
    depth = 1 + depth % (ROWS - number)
    assume(actor != rows[number - 1].actor)
    edited = rows[number - 1]._replace(actor=actor)
    forged = forge([*rows[: number - 1], edited, *rows[number : number + depth - 1]], number - 1)
    replace(log, [*forged, *rows[len(forged) :]])
    assert named(log) == number + depth - 1


@fast
@given(numbers=st.tuples(st.integers(2, ROWS), NUMBERS, NUMBERS), actor=st.text(max_size=5))
def test_a_chain_that_was_computed_again_to_its_end_needs_an_anchor(
    log: sa.Connection, numbers: tuple[int, int, int], actor: str
) -> None:
    rows, number = records(log), numbers[0]
    before, anchor = 1 + numbers[1] % (number - 1), number + numbers[2] % (ROWS - number + 1)
    assume(actor != rows[number - 1].actor)
    forged = forge([*rows[: number - 1], rows[number - 1]._replace(actor=actor), *rows[number:]], number - 1)
    anchors = [Head(row.seq, row.hash) for row in (rows[before - 1], rows[anchor - 1])]
    replace(log, forged)
    log.execute(audit_head.update().values(hash=forged[-1].hash))
    assert walk_chain(log).problems == () and walk_chain(log, anchors[:1]).problems == ()
    problem = check(log, *anchors).problems[0]
    assert problem.seq == anchor
    assert (f"row {anchor} was changed" if before == anchor - 1 else f"rows {before + 1} to {anchor} was") in problem.text


CHANGES = st.lists(
    st.tuples(st.sampled_from(["edit", "remove", "swap", "copy", "renumber", "forge"]), NUMBERS, NUMBERS),
    min_size=1,
    max_size=5,
)


def change(rows: list[Record], kind: str, first: int, second: int) -> list[Record]:
    """The rows after one step of somebody who tampers with them."""
    first, second = first % len(rows), second % len(rows)
    rows = list(rows)
    match kind:
        case "edit":
            rows[first] = rows[first]._replace(payload=f"{second}")
        case "remove" if len(rows) > 1:
            del rows[first]
        case "swap":
            rows[first], rows[second] = rows[second], rows[first]
        case "copy":
            rows.insert(first, rows[second])
        case "renumber":
            rows = [row._replace(seq=seq) for seq, row in enumerate(rows, start=1)]
        case "forge":
            rows = forge(rows, first)
    return rows


@fast
@given(changes=CHANGES)
def test_any_changes_are_noticed_and_no_row_before_them_is_blamed(
    log: sa.Connection, changes: list[tuple[str, int, int]]
) -> None:
    originals = rows = records(log)
    for kind, first, second in changes:
        rows = change(rows, kind, first, second)
    stored = sorted(rows, key=lambda row: row.seq)
    assume(stored != originals)
    replace(log, rows)
    equal = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(stored, originals, strict=False)))
    first = min([equal + 1, *(row.seq for row in stored[equal:])])  # a row that is there twice is named
    assert named(log) >= first - 1  # of two neighbors that do not fit, the first is named


@fast
@given(column=st.sampled_from(audit_head.c.keys()), value=VALUES)
def test_an_edit_of_the_head_is_noticed(log: sa.Connection, column: str, value: Any) -> None:
    stored = log.execute(sa.select(audit_head.c[column])).scalar()
    assume((type(value), value) != (type(stored), stored))
    log.execute(sa.text(f"UPDATE audit_head SET {column} = :value"), {"value": value})
    (problem,) = check(log).problems
    assert "audit_head" in problem.text


@pytest.mark.parametrize(
    "statement", ["DELETE FROM audit_head", "INSERT INTO audit_head SELECT 2, seq, hash FROM audit_head"]
)
def test_a_head_that_is_missing_or_not_alone_is_noticed(log: sa.Connection, statement: str) -> None:
    log.exec_driver_sql(statement)
    assert "audit_head" in check(log).problems[0].text


def test_text_that_is_not_utf8_is_an_edit(log: sa.Connection) -> None:
    log.exec_driver_sql("UPDATE audit SET payload = CAST(x'7bff7d' AS TEXT) WHERE seq = 4")
    assert named(log) == 4


def test_rows_added_behind_the_end_are_noticed(log: sa.Connection) -> None:
    rows = records(log)
    replace(log, forge([*rows, rows[2]._replace(actor="eve")], ROWS))
    assert named(log) == ROWS + 1


def test_an_emptied_log_is_noticed(log: sa.Connection) -> None:
    log.execute(audit.delete())
    assert check(log).problems[0] == (1, "rows 1 to 9 were removed at the end: audit_head says that the log ends with row 9")
