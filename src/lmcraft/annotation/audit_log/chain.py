"""Follows the chain of an audit log, and names the first row that breaks it.

The log is read row by row, so memory does not grow with it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import ERASED, GENESIS, Head, Record, audit, audit_head, record_hash
from lmcraft.terminal import ReportProgress

ROWS_PER_FETCH = 1000
MAX_NUMBERS_TRIED = 5_000_000  # to tell where a row stood; a few microseconds each


class Problem(NamedTuple):
    """Something that is not what was written."""

    seq: int
    """The first row of the log that it concerns; 0: none."""
    text: str
    """What is wrong, in one sentence."""


@dataclass(frozen=True)
class Verification:
    """What a verification saw."""

    head: Head
    """The last row of the log that follows from the first."""
    problems: tuple[Problem, ...]
    """In the order of the log; empty if the store is intact."""
    num_rewritten: int = 0
    """The rows whose texts were erased: their hashes do not cover what is left of their payloads."""


def walk_chain(
    connection: sa.Connection, anchors: Iterable[Head] = (), report: ReportProgress = lambda done, total: None
) -> Verification:
    """Follow the chain from the first row to the last, and stop at the first that breaks it.

    Args:
        connection: to the store, in a transaction that sees one state of it.
        anchors: rows that must have a certain hash.
        report: shows how many rows of how many are read.
    """
    stored_heads = connection.execute(sa.select(audit_head).order_by(audit_head.c.id)).all()
    total = stored_heads[0].seq if stored_heads and isinstance(stored_heads[0].seq, int) else 0
    expected: dict[int, list[str]] = {}
    for anchor in anchors:
        expected.setdefault(anchor.seq, []).append(anchor.hash)
    last, confirmed = Head(0, GENESIS), 0
    rewritten = _rewritten_payloads(connection)
    records = _records(connection)
    for record in records:
        problem = None
        if not _is_rewritten(last, record, rewritten):
            problem = _check_record(connection, last, record, records, total)
        if problem is None and record.seq in expected:
            problem = _check_anchor(record, expected.pop(record.seq), confirmed)
            confirmed = record.seq
        if problem is not None:
            return Verification(last, (problem,))
        last = Head(record.seq, record.hash)
        if record.seq % ROWS_PER_FETCH == 0:
            report(record.seq, total)
    end = _check_end(last, stored_heads) or _check_missing_anchors(last, expected)
    return Verification(last, () if end is None else (end,), len(rewritten))


def _records(connection: sa.Connection) -> Iterator[Record]:
    """The rows by number, a thousand in memory."""
    streaming = connection.execution_options(yield_per=ROWS_PER_FETCH)
    yield from (Record(*row) for row in streaming.execute(sa.select(audit).order_by(audit.c.seq)))


def _rewritten_payloads(connection: sa.Connection) -> dict[int, str]:
    """By the number of each row whose texts were erased, the hash of the payload that it has now."""
    rewritten: dict[int, str] = {}
    query = sa.select(audit.c.payload).where(audit.c.event == ERASED).order_by(audit.c.seq)
    for payload in connection.execute(query).scalars():
        with suppress(AttributeError, TypeError, ValueError):  # an edited row, which the chain reports
            rewritten |= {int(seq): str(digest) for seq, digest in json.loads(payload).get("rewritten", {}).items()}
    return rewritten


def _is_rewritten(last: Head, record: Record, rewritten: Mapping[int, str]) -> bool:
    """Whether a row follows `last`, and has the payload that the erasure of its texts has left."""
    if not _has_types(record) or (record.seq, record.previous) != (last.seq + 1, last.hash):
        return False
    return sha256(record.payload.encode(errors="surrogateescape")).hexdigest() == rewritten.get(record.seq)


def _check_record(
    connection: sa.Connection, last: Head, record: Record, following: Iterator[Record], total: int
) -> Problem | None:
    """What is wrong with the row that comes after `last`, if anything."""
    number, seq = last.seq + 1, record.seq
    if not _has_types(record) or seq < number:  # a number below 1, twice, or none
        origin = _original_number(record, total)
        if origin is not None and (not isinstance(seq, int) or origin != seq):
            return Problem(origin, f"row {origin} was renumbered: it is row {seq!r} now")
        if origin is not None:
            return Problem(origin, f"row {origin} is there twice")
        if not isinstance(seq, int) or seq < number:
            return Problem(number, f"row {seq!r} was inserted before row {number}")
    if seq > number:
        return _explain_gap(connection, last, seq)
    intact = _has_types(record) and record_hash(record) == record.hash
    if intact and record.previous == last.hash:
        return None
    if intact:
        return _explain_wrong_link(last, record, next(following, None))
    origin = _original_number(record, total)
    if origin is not None:
        return _explain_move(connection, record, origin, next(following, None))
    return _explain_edit(last, record, next(following, None))


def _has_types(record: Record) -> bool:
    """Whether the columns have their types, which SQLite does not enforce."""
    return type(record.seq) is int and all(isinstance(value, str) for value in record[1:])


def _explain_gap(connection: sa.Connection, last: Head, seq: int) -> Problem:
    """Rows are missing after `last`: they were removed, or have other numbers now."""
    number = last.seq + 1
    moved = connection.execute(sa.select(audit.c.seq).where(audit.c.previous == last.hash)).scalar()
    if moved is not None and moved != number:
        return Problem(number, f"row {number} was renumbered: it is row {moved} now")
    if seq == number + 1:
        return Problem(number, f"row {number} was removed")
    return Problem(number, f"rows {number} to {seq - 1} were removed")


def _explain_move(connection: sa.Connection, record: Record, origin: int, following: Record | None) -> Problem:
    """The row has its hash as row `origin`."""
    seq = record.seq
    occupant = connection.execute(sa.select(audit.c.hash).where(audit.c.seq == origin)).scalar()
    if occupant == record.hash:
        return Problem(seq, f"row {seq} was inserted: it is a copy of row {origin}")
    if origin < seq:
        return Problem(
            origin, f"row {origin} was inserted, or moved there: what was written as row {origin} is row {seq} now"
        )
    if occupant is None and following is not None and following.seq == seq:
        return Problem(origin, f"row {origin} was renumbered: there are two rows {seq} now")
    return Problem(seq, f"row {seq} is not the one that was written: it was row {origin}, so rows were removed or reordered")


def _explain_edit(last: Head, record: Record, following: Record | None) -> Problem:
    """The row does not have its hash, and did not stand elsewhere."""
    seq = record.seq
    if following is not None and following.previous == record_hash(record) and record.previous == last.hash:
        return Problem(seq, f"row {seq} was edited: its hash is not the one that row {following.seq} follows")
    if record_hash(record._replace(previous=last.hash)) == record.hash:
        return Problem(seq, f"row {seq} was edited: its column previous is not the hash of the row before it")
    return Problem(seq, f"row {seq} was edited: its content does not have the hash that was recorded with it")


def _explain_wrong_link(last: Head, record: Record, following: Record | None) -> Problem:
    """The row has its hash, but follows another row than `last`: one of the two was edited, and its hash computed again."""
    seq = record.seq
    follows = following is None or following.previous == record.hash
    if last.seq and follows:
        change = f"row {last.seq} was edited, or row {seq} and all after it were replaced"
        return Problem(last.seq, f"row {seq} does not follow row {last.seq}: {change}")
    return Problem(seq, f"row {seq} was edited or replaced, and its hash computed again: it does not follow row {last.seq}")


def _original_number(record: Record, total: int) -> int | None:
    """The number with which the row has its hash, if it was only moved."""
    if not all(isinstance(value, str) for value in record[1:]):
        return None
    numbers = range(1, min(total, MAX_NUMBERS_TRIED) + 1)
    return next((number for number in numbers if record_hash(record._replace(seq=number)) == record.hash), None)


def _check_anchor(record: Record, hashes: list[str], confirmed: int) -> Problem | None:
    """Whether a row has the hash of its anchors; `confirmed` is the row of the anchor before."""
    if all(value == record.hash for value in hashes):
        return None
    rows = f"row {record.seq}" if confirmed == record.seq - 1 else f"one of the rows {confirmed + 1} to {record.seq}"
    return Problem(
        record.seq,
        f"{rows} was changed, and the hashes of all later rows computed again: row {record.seq} had another hash "
        "when its anchor was recorded",
    )


def _check_end(last: Head, stored_heads: Sequence[Any]) -> Problem | None:
    """Whether the log ends where its head says."""
    if not stored_heads:
        return Problem(last.seq, f"audit_head was emptied, so rows after row {last.seq} may have been removed")
    stored = stored_heads[0]
    if len(stored_heads) > 1 or stored.id != 1 or {type(stored.id), type(stored.seq)} != {int} or stored.seq < 0:
        return Problem(last.seq, f"audit_head was edited, so rows after row {last.seq} may have been removed")
    if stored.seq > last.seq:
        rows = f"row {stored.seq} was" if stored.seq == last.seq + 1 else f"rows {last.seq + 1} to {stored.seq} were"
        return Problem(last.seq + 1, f"{rows} removed at the end: audit_head says that the log ends with row {stored.seq}")
    if stored.seq < last.seq:
        return Problem(
            stored.seq + 1,
            f"row {stored.seq + 1} was inserted, or audit_head was edited: it says that the log ends with row {stored.seq}",
        )
    if stored.hash != last.hash:
        return Problem(last.seq, f"row {last.seq} or audit_head was edited: they have different hashes")
    return None


def _check_missing_anchors(last: Head, expected: Mapping[int, list[str]]) -> Problem | None:
    """Whether an anchor names a row behind the end."""
    missing = max((seq for seq in expected if seq > last.seq), default=None)
    if missing is None:
        return None
    rows = f"row {missing} was" if missing == last.seq + 1 else f"rows {last.seq + 1} to {missing} were"
    return Problem(last.seq + 1, f"{rows} removed at the end, and audit_head was edited: an anchor names row {missing}")
