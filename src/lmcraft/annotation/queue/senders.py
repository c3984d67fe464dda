"""Whose texts items are: of each item that a server adds, a hash of every API key that has sent it.

Whoever reads the store learns no names from it, but can ask for the items of a name.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import sqlalchemy as sa

from lmcraft.annotation.records import Source
from lmcraft.annotation.tables import items, marker, reports, senders

T = TypeVar("T")
TRAFFIC: tuple[Source, ...] = ("server", "report")
"""The sources of items that users have sent."""
ERASED_REPORTER = "erased-"
"""How the reporter of a report begins whose key has erased its data; hashes have no hyphen."""
HAS_REPORTER = ~reports.c.reporter.startswith(ERASED_REPORTER)
"""Whether a report is still somebody's."""
ITEMS_PER_STATEMENT = 500


def hash_name(connection: sa.Connection, name: str) -> str:
    """The hash of a name and a secret of the store, which stands for the name."""
    salt = connection.execute(sa.select(marker.c.id)).scalar_one()
    return hashlib.sha256(f"{salt}\n{name}".encode()).hexdigest()


def add_senders(connection: sa.Connection, pairs: Iterable[tuple[str, str]]) -> None:
    """Record who has sent which items, as often as they have; `pairs` are ids of items and names."""
    new = list(dict.fromkeys(pairs))
    hashes = {name: hash_name(connection, name) for name in {name for _, name in new}}
    for batch in _batches([(item, hashes[name]) for item, name in new]):
        s = senders.c
        query = sa.select(s.item, s.sender).where(s.item.in_([item for item, _ in batch]))
        recorded = {(row.item, row.sender) for row in connection.execute(query)}
        rows = [{"item": item, "sender": sender} for item, sender in batch if (item, sender) not in recorded]
        if rows:
            connection.execute(senders.insert(), rows)


def items_of(connection: sa.Connection, name: str) -> list[str]:
    """The ids of the items that somebody has sent or reported, oldest first."""
    sender = hash_name(connection, name)
    sent = sa.select(senders.c.item).where(senders.c.sender == sender)
    own = sent.union(sa.select(reports.c.item).where(reports.c.reporter == sender))
    query = sa.select(items.c.id).where(items.c.id.in_(own)).order_by(items.c.position)
    return list(connection.execute(query).scalars())


def items_of_nobody_else(connection: sa.Connection, name: str, ids: Sequence[str]) -> list[str]:
    """Of some items, those that only users have added, and nobody but this one has sent or reported."""
    sender = hash_name(connection, name)
    chosen: list[str] = []
    for batch in _batches(list(ids)):
        others = sa.exists().where(senders.c.item == items.c.id, senders.c.sender != sender)
        reporters = sa.exists().where(reports.c.item == items.c.id, reports.c.reporter != sender, HAS_REPORTER)
        query = sa.select(items.c.id).where(items.c.id.in_(batch), items.c.source.in_(TRAFFIC), ~others, ~reporters)
        chosen += connection.execute(query).scalars()
    return chosen


def count_reports(connection: sa.Connection, name: str) -> int:
    """The number of reports that somebody has made."""
    own = reports.c.reporter == hash_name(connection, name)
    return connection.execute(sa.select(sa.func.count()).select_from(reports).where(own)).scalar_one()


def forget_sender(connection: sa.Connection, name: str) -> None:
    """Forget which items somebody has sent."""
    connection.execute(senders.delete().where(senders.c.sender == hash_name(connection, name)))


def count_unattributed(connection: sa.Connection) -> int:
    """The items of users that have their texts, and of which nobody knows whose they are: an older lmcraft added them."""
    is_known = sa.exists().where(senders.c.item == items.c.id) | sa.exists().where(
        reports.c.item == items.c.id, HAS_REPORTER
    )
    unknown = items.c.source.in_(TRAFFIC) & (items.c.state != "erased") & ~is_known
    return connection.execute(sa.select(sa.func.count()).select_from(items).where(unknown)).scalar_one()


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), ITEMS_PER_STATEMENT):
        yield rows[start : start + ITEMS_PER_STATEMENT]
