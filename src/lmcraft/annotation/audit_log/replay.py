"""Compares the tables of a review store with what its audit log says about them.

A row of the log has, by the name of a table, the columns of the row that it changed, as they are after the change. So the
last value that the log has of each column must be the one in the table, and a row that the log does not mention was added
without it. The log and the tables are read in the order of the items, side by side, so memory holds one item at a time, and
the tables that stay small: guidelines, rounds, comments, settings, samples.
"""

import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from lmcraft.annotation.audit_log.chain import ROWS_PER_FETCH, Problem
from lmcraft.annotation.audit_log.log import audit, metadata
from lmcraft.annotation.content import content_sha256
from lmcraft.annotation.guidelines.guideline import guideline_from_json
from lmcraft.annotation.tables import AUDITED_ITEM_COLUMNS, contents, items

MAX_PROBLEMS = 1000
LARGE_TABLES = {"verdicts": ("id",), "skips": ("item", "reviewer"), "reports": ("item", "reporter")}
"""The columns that tell rows apart, of tables that have a row or more per item, and name it in their column `item`."""
SMALL_TABLES = {
    "guidelines": ("name", "version"),
    "rounds": ("id",),
    "round_items": ("round", "item"),
    "comments": ("id",),
    "settings": ("name",),
    "samples": ("guideline", "stratum", "name"),
    "sample_items": ("guideline", "stratum", "name", "item"),
}
KEYS = {"items": ("id",), **LARGE_TABLES, **SMALL_TABLES}
DESCRIPTIONS = {
    "guidelines": "version {1} of guideline {0!r}",
    "skips": "the skip of item {0!r} by {1!r}",
    "reports": "a report of item {0!r}",
    "round_items": "item {1!r} of round {0!r}",
    "samples": "sample {2!r} of stratum {1!r} of guideline {0!r}",
    "sample_items": "item {3!r} of sample {2!r} of stratum {1!r} of guideline {0!r}",
}
"""What a row of a table is, by its key; of others, the table's name and the key."""


class Row(NamedTuple):
    """A row of the log or of another table."""

    item: str
    """The item that it is about; empty: none."""
    table: str
    seq: int
    """Of a row of the log."""
    values: Any
    """The payload as text, or the columns by name."""


class Logged(NamedTuple):
    """The last value of a column in the log, and the row that has it."""

    value: Any
    seq: int


class LoggedRows:
    """What the log says that rows of tables are."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], dict[str, Logged]] = {}
        self._added: dict[tuple[str, ...], int] = {}
        self._present: set[tuple[str, ...]] = set()

    def apply(self, seq: int, table: str, values: Mapping[str, Any]) -> None:
        """Take over the columns of a row from row `seq` of the log."""
        key = _key(table, values)
        row = self._rows.setdefault(key, {})
        self._added.setdefault(key, seq)
        row.update({column: Logged(value, seq) for column, value in values.items()})

    def compare(self, table: str, values: Mapping[str, Any]) -> Iterator[Problem]:
        """What differs between a row of a table and the log."""
        key = _key(table, values)
        logged = self._rows.get(key)
        if logged is None:
            yield Problem(0, f"{_describe(key)} was added without the log")
            return
        self._present.add(key)
        for column, (value, seq) in logged.items():
            if column not in values or not _is_equal(values[column], value):
                actual = _show(values.get(column))
                yield Problem(seq, f"{_describe(key)} has {column} {actual}, but row {seq} of the log says {_show(value)}")

    def added_by(self, table: str, values: Mapping[str, Any]) -> int:
        """The row of the log that is the first to mention a row; 0: none does."""
        return self._added.get(_key(table, values), 0)

    def missing(self) -> Iterator[Problem]:
        """The rows of the log that are in no table."""
        for key, seq in self._added.items():
            if key not in self._present:
                yield Problem(seq, f"{_describe(key)} was removed: row {seq} of the log says that it was added")


class Problems:
    """The first problems by row of the log, those without a row last."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def extend(self, problems: Iterable[Problem]) -> None:
        self._problems.extend(problems)
        if len(self._problems) > 2 * MAX_PROBLEMS:
            self._problems = list(self.first())

    def first(self) -> tuple[Problem, ...]:
        """In order, at most `MAX_PROBLEMS`."""
        return tuple(sorted(self._problems, key=lambda problem: (problem.seq == 0, problem))[:MAX_PROBLEMS])


def replay_log(connection: sa.Connection, report: Callable[[int], object] = lambda done: None) -> tuple[Problem, ...]:
    """What differs between the tables and the log, at most `MAX_PROBLEMS`, in the order of the log.

    Args:
        connection: to a store whose log is an unbroken chain, in a transaction that sees one state of it.
        report: shows how many rows of the log are read.
    """
    problems, small, num_read = Problems(), LoggedRows(), 0
    tables = [name for name in LARGE_TABLES if name in metadata.tables]
    streams = [_log_rows(connection), _item_rows(connection), *(_table_rows(connection, name) for name in tables)]
    for item, rows in groupby(heapq.merge(*streams, key=attrgetter("item")), key=attrgetter("item")):
        large = LoggedRows()
        for row in rows:  # those of the log come first
            if row.table == audit.name:
                num_read += 1
                if num_read % ROWS_PER_FETCH == 0:
                    report(num_read)
                for table, values in _logged_values(row.values):
                    (large if item and table not in SMALL_TABLES else small).apply(row.seq, table, values)
            else:
                problems.extend(_check_content(row, large))
                problems.extend(large.compare(row.table, row.values))
        problems.extend(large.missing())
    for table in SMALL_TABLES:
        for values in map(dict, connection.execute(_query(table)).mappings()):
            problems.extend(_check_guideline(table, values, small))
            problems.extend(small.compare(table, values))
    problems.extend(small.missing())
    return problems.first()


def _log_rows(connection: sa.Connection) -> Iterator[Row]:
    query = sa.select(audit.c.item, audit.c.seq, audit.c.payload).order_by(_bytewise(connection, audit.c.item), audit.c.seq)
    for row in _stream(connection, query):
        yield Row(row.item, audit.name, row.seq, row.payload)


def _item_rows(connection: sa.Connection) -> Iterator[Row]:
    """The items with their content."""
    columns = [_untyped(items.c[name]) for name in (*AUDITED_ITEM_COLUMNS, "subject")]
    join = items.outerjoin(contents, contents.c.item == items.c.id)
    query = sa.select(*columns, _untyped(contents.c.content)).select_from(join).order_by(_bytewise(connection, items.c.id))
    for row in _stream(connection, query):
        yield Row(str(row.id), items.name, 0, row._mapping)


def _table_rows(connection: sa.Connection, table: str) -> Iterator[Row]:
    item = metadata.tables[table].c.item
    for row in _stream(connection, _query(table).order_by(_bytewise(connection, item))):
        yield Row(str(row.item), table, 0, row._mapping)


def _query(table: str) -> sa.Select[Any]:
    """All columns of a table, without conversions that fail where a value is not of the column's type."""
    return sa.select(*map(_untyped, metadata.tables[table].c))


def _untyped(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.types.NullType()).label(column.name)


def _bytewise(connection: sa.Connection, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The column in Python's order of texts, in which SQLite sorts anyway."""
    return column.collate("C") if connection.dialect.name == "postgresql" else column


def _stream(connection: sa.Connection, query: sa.Select[Any]) -> sa.CursorResult[Any]:
    return connection.execute(query, execution_options={"yield_per": ROWS_PER_FETCH})


def _logged_values(payload: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Tables and columns in a payload."""
    for table, values in json.loads(payload).items():
        if table in KEYS:
            for row in values if isinstance(values, list) else [values]:
                yield table, row


def _check_content(row: Row, logged: LoggedRows) -> Iterator[Problem]:
    """Whether the content of an item has the hash in its row, which is compared with the log."""
    seq = logged.added_by(row.table, row.values)
    if row.table != items.name or not seq:
        return
    try:
        content = json.loads(row.values["content"])
        intact = content["subject"] == row.values["subject"]
        if row.values["state"] == "erased":  # as the log says, too, or `compare` reports it
            intact = intact and content["messages"] == [] and not any(content["answers"])
        else:
            intact = intact and content_sha256(row.values["guideline"], content) == row.values["content_sha256"]
    except (KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        yield Problem(
            seq, f"item {row.item!r} has another content than the one of row {seq} of the log: its hash does not fit"
        )


def _check_guideline(table: str, values: Mapping[str, Any], logged: LoggedRows) -> Iterator[Problem]:
    """Whether the text of a guideline has the hash in its row."""
    seq = logged.added_by(table, values)
    if table != "guidelines" or not seq:
        return
    try:
        guideline = guideline_from_json(json.loads(values["content"]))
        intact = guideline.sha256 == values["sha256"] and getattr(guideline, "version", None) == values["version"]
    except (KeyError, TypeError, ValueError, AttributeError):
        intact = False
    if not intact:
        yield Problem(
            0, f"{_describe(_key(table, values))} has another text than the one that was added: its hash does not fit"
        )


def _key(table: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    return (table, *(str(values.get(column)) for column in KEYS[table]))


def _describe(key: tuple[str, ...]) -> str:
    table, *parts = key
    if table in DESCRIPTIONS:
        return DESCRIPTIONS[table].format(*parts)
    return f"{table.removesuffix('s')} {', '.join(map(repr, parts))}"


def _is_equal(actual: Any, logged: Any) -> bool:
    """Whether a column has the value of the log, which is JSON: numbers and booleans are equal by value."""
    return bool(actual == logged)


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= 80 else f"{text[:80]}…"
