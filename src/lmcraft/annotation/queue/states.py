"""Changing an item's state, and the bucket that follows from it: the one place that writes either."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append
from lmcraft.annotation.records import Json, NotFoundError
from lmcraft.annotation.tables import AUDITED_ITEM_COLUMNS, buckets, items, skips, verdicts
from lmcraft.json_lines import format_json

_ID = re.compile("[0-9a-f]{32}")
FREE = {"holder": "", "lease": "", "lease_expires": 0.0, "lease_task": "", "lease_version": 0}
"""The columns of an item that nobody holds."""


class Bucket(NamedTuple):
    """Items that the same people can claim."""

    id: int
    guideline: str
    size: int


def read_item(connection: sa.Connection, item: str) -> Json:
    """The row of an item.

    Raises:
        NotFoundError: there is none.
    """
    query = sa.select(items).where(items.c.id == item)
    row = connection.execute(query).mappings().first() if _ID.fullmatch(item) else None
    if row is None:
        raise NotFoundError("item", item)
    return dict(row)


def change_item(connection: sa.Connection, row: Mapping[str, Any], **changes: Any) -> Json:
    """Change columns of an item, and move it to the bucket that follows from them; returns the row after it."""
    changed = {**row, **changes}
    excluded = excluded_people(connection, changed["id"]) if queue_of(changed) in ("review", "adjudicate") else []
    changed["bucket"] = bucket_of(connection, changed, excluded)
    if changed["bucket"] != row["bucket"]:
        change = sa.case((buckets.c.id == changed["bucket"], 1), else_=-1)
        moved = buckets.c.id.in_([row["bucket"], changed["bucket"]])
        connection.execute(buckets.update().where(moved).values(size=buckets.c.size + change))
    values = {name: value for name, value in changed.items() if value != row[name]}
    if values:
        connection.execute(items.update().where(items.c.position == row["position"]).values(values))
    return changed


def record_change(
    connection: sa.Connection, event: str, actor: str, row: Mapping[str, Any], now: float, **payload: Any
) -> None:
    """Append a change of an item to the audit log; `row` is as it is after it."""
    append(connection, event, actor, row["id"], {"items": audited_columns(row), **payload}, now)


def audited_columns(row: Mapping[str, Any]) -> Json:
    """What the audit log keeps of an item's row."""
    return {name: row[name] for name in AUDITED_ITEM_COLUMNS}


def queue_of(row: Mapping[str, Any]) -> str:
    """The queue in which an item waits: review, adjudicate, gold or round; empty: nobody can claim it."""
    if row["state"] == "erased":
        return ""
    if row["expected_label"] is not None:
        return "gold"
    if row["state"] in ("disagreed", "escalated"):
        return "adjudicate"
    if row["state"] == "pending" and row["round"] is not None:
        return "round"
    return "review" if row["state"] in ("pending", "reviewed") and row["label"] is None and row["round"] is None else ""


def excluded_people(connection: sa.Connection, item: str) -> list[str]:
    """Who cannot claim an item, since they have judged, skipped or escalated it; sorted."""
    judges = sa.select(verdicts.c.reviewer).where(verdicts.c.item == item)
    query = judges.union(sa.select(skips.c.reviewer).where(skips.c.item == item))
    return sorted(connection.execute(query).scalars())


def bucket_of(connection: sa.Connection, row: Mapping[str, Any], excluded: Sequence[str]) -> int:
    """The id of the bucket that an item belongs to, which is created if it does not exist."""
    columns = {
        "guideline": row["guideline"],
        "queue": queue_of(row),
        "state": row["state"],
        "excluded": format_json(excluded),
    }
    key = hashlib.sha256(format_json(list(columns.values())).encode()).hexdigest()
    bucket = connection.execute(sa.select(buckets.c.id).where(buckets.c.key == key)).scalar()
    if bucket is None:
        statement = buckets.insert().values(key=key, size=0, **columns).returning(buckets.c.id)
        bucket = connection.execute(statement).scalar_one()
    return int(bucket)


def grow_bucket(connection: sa.Connection, bucket: int, number: int) -> None:
    """Count items that are new in a bucket."""
    connection.execute(buckets.update().where(buckets.c.id == bucket).values(size=buckets.c.size + number))


def open_buckets(connection: sa.Connection, queue: str, guidelines: Collection[str], person: str) -> list[Bucket]:
    """The buckets of a queue whose items a person can claim."""
    c = buckets.c
    query = sa.select(c.id, c.guideline, c.size, c.excluded).where(c.queue == queue, c.size > 0, c.guideline.in_(guidelines))
    rows = connection.execute(query)
    return [Bucket(row.id, row.guideline, row.size) for row in rows if person not in json.loads(row.excluded)]
