"""The audit log: what every change of a review store was, in a chain of hashes that an edit breaks.

Each row holds the hash of the row before it, and its own: the SHA-256 of its other columns as canonical JSON (keys sorted,
no spaces, ASCII), with `payload` as the text that it is. So a row can be checked without this program, in any language:

    sha256('{"actor":"ann","event":"verdict","item":"7f3a","payload":"{...}","previous":"0c…","seq":12,"time":"2026-…Z"}')

A row whose texts were erased has another payload than its hash says: a later row with the event `erased` has the hash of
that payload (see `ERASED`).

`audit_head` has the number and the hash of the last row, so that rows cut off at the end are missed; and whoever has copied
them elsewhere (an anchor) can later tell that the chain is still the same one. `verification.py` does both.
"""

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from lmcraft.errors import RunError
from lmcraft.json_lines import format_json

metadata = sa.MetaData()
GENESIS = "0" * 64
"""What the first row has as the hash of the row before it."""
ERASED = "erased"
"""The event of erasing the texts of an item. Its payload has in `rewritten`, by the number of each row that lost texts, the
SHA-256 of the payload that this row has now; the row keeps the hash that it had with the texts."""
ROWS_PER_INSERT = 1000
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=repr)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column(
        "time", sa.Text, nullable=False
    ),  # RFC 3339 in UTC: text, since databases and languages print numbers differently
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("item", sa.Text, nullable=False),  # empty: of no item
    sa.Column("payload", sa.Text, nullable=False),  # JSON; text, since PostgreSQL's jsonb would reorder it
    sa.Column("previous", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("audit_by_item", "item", "seq"),
)
audit_head = sa.Table(
    "audit_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
)


@sa.event.listens_for(audit_head, "after_create")
def _create_head(table: sa.Table, connection: sa.Connection, **_: Any) -> None:
    connection.execute(table.insert().values(id=1, seq=0, hash=GENESIS))


Entry = tuple[str, str, str, Mapping[str, Any]]
"""Event, actor, item and payload of a row to append."""


class Record(NamedTuple):
    """A row of the log."""

    seq: int
    time: str
    actor: str
    event: str
    item: str
    payload: str
    previous: str
    hash: str


class Head(NamedTuple):
    """Where the chain ends: number and hash of the last row; 0 and `GENESIS` if there is none."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


def append(
    connection: sa.Connection, event: str, actor: str, item: str, payload: Mapping[str, Any], now: float | None = None
) -> None:
    """Append one row, in the transaction of the change that it records.

    Args:
        connection: in a transaction; of SQLite, one that began as a writer. On PostgreSQL the head stays locked until the
            commit, so that the chain has one order: append last.
        event: such as "verdict".
        actor: who did it.
        item: the item's id; empty for guidelines, rounds and settings.
        payload: by the name of a table, the columns of its row after the change; `verification.py` replays them.
        now: the time, in seconds since 1970; by default this machine's.

    Raises:
        RunError: the head is missing.
    """
    append_many(connection, [(event, actor, item, payload)], now)


def append_many(connection: sa.Connection, entries: Iterable[Entry], now: float | None = None) -> None:
    """Append rows in order, as `append` does; a thousand take one statement.

    Raises:
        RunError: the head is missing.
    """
    last = head(connection, lock=True)
    moment = datetime.fromtimestamp(time.time() if now is None else now, UTC)
    stamp = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    remaining = iter(entries)
    while batch := list(islice(remaining, ROWS_PER_INSERT)):
        rows = []
        for event, actor, item, payload in batch:
            record = Record(last.seq + 1, stamp, actor, event, item, format_json(payload), last.hash, "")
            record = record._replace(hash=record_hash(record))
            last = Head(record.seq, record.hash)
            rows.append(record._asdict())
        connection.execute(audit.insert(), rows)
    connection.execute(audit_head.update().values(last._asdict()))


def head(connection: sa.Connection, *, lock: bool = False) -> Head:
    """Where the chain ends.

    Args:
        connection: to the store.
        lock: keep others from appending until the transaction ends.

    Raises:
        RunError: the head is missing.
    """
    query = sa.select(audit_head.c.seq, audit_head.c.hash)
    row = connection.execute(query.with_for_update() if lock else query).first()
    if row is None:
        raise RunError("the audit log has lost its head row, so nothing can be recorded: run `lmcraft review verify`")
    return Head(*row)


def history(connection: sa.Connection, item: str) -> list[Record]:
    """The rows of one item, oldest first."""
    query = sa.select(audit).where(audit.c.item == item).order_by(audit.c.seq)
    return [Record(*row) for row in connection.execute(query)]


def record_hash(record: Record) -> str:
    """The hash that a row has if it was not edited: SHA-256, 64 hexadecimal digits."""
    fields = record._asdict()
    del fields["hash"]
    return sha256(_CANONICAL.encode(fields).encode("ascii")).hexdigest()
