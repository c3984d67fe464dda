"""Erases the texts of items, for good: their content, and whatever people wrote about them, in the audit log, too.

What stays is that there was an item, its labels, and that it was reported, so agreement and samples keep their figures. Rows
of the audit log keep their hashes, although their payloads lose texts; the row that records the erasure has the hashes of
the new payloads, which `audit_log/chain.py` accepts in place of the old ones.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import ERASED, append_many, audit
from lmcraft.annotation.queue.reviewers import forget_gold
from lmcraft.annotation.queue.senders import (
    ERASED_REPORTER,
    HAS_REPORTER,
    TRAFFIC,
    forget_sender,
    hash_name,
    items_of,
    items_of_nobody_else,
)
from lmcraft.annotation.queue.states import FREE, audited_columns, change_item
from lmcraft.annotation.records import Json
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import comments, contents, items, reports, senders, skips, verdicts
from lmcraft.json_lines import format_json

ITEMS_PER_TRANSACTION = 100
BLANKS: Mapping[str, Mapping[str, str]] = {
    verdicts.name: {"comment": "", "correction": "", "contains": "[]", "excludes": "[]"},
    skips.name: {"comment": ""},
    reports.name: {"comment": ""},
    comments.name: {"text": ""},
}
"""By table, the columns in which people write, and what they have after the erasure."""


def erase_items_of(store: ReviewStore, name: str, actor: str) -> int:
    """Erase what somebody has sent or reported, unless others have sent the same, and forget who sent it.

    What they wrote in reports is erased, too, if the text stays.

    Args:
        store: of the reviews.
        name: as in `NewItem.sender`.
        actor: who erases, for the audit log.

    Returns:
        The number of items that were erased.

    Raises:
        StoreError: the database failed; calling again goes on.
    """
    num_erased = 0
    with store.reading() as (connection, _):
        ids = items_of(connection, name)
    for start in range(0, len(ids), ITEMS_PER_TRANSACTION):
        with store.writing() as (connection, now):
            batch = ids[start : start + ITEMS_PER_TRANSACTION]
            num_erased += _erase(connection, items_of_nobody_else(connection, name, batch), actor, now)
            _erase_reports(connection, name, batch, actor, now)
    with store.writing() as (connection, _):
        forget_sender(connection, name)
    return num_erased


def erase_items_before(store: ReviewStore, moment: float, actor: str) -> int:
    """Erase the items of users that were first added before a moment, in seconds since 1970; returns their number.

    Raises:
        StoreError: the database failed.
    """
    c = items.c
    old = c.source.in_(TRAFFIC) & (c.created < moment) & (c.state != "erased")
    num_erased = 0
    while True:
        with store.writing() as (connection, now):
            query = sa.select(c.id).where(old).order_by(c.position).limit(ITEMS_PER_TRANSACTION)
            ids = list(connection.execute(query).scalars())
            num_erased += _erase(connection, ids, actor, now)
        if len(ids) < ITEMS_PER_TRANSACTION:
            return num_erased


def _erase(connection: sa.Connection, ids: Sequence[str], actor: str, now: float) -> int:
    """Erase items in a writing transaction; returns how many had texts."""
    query = sa.select(items).where(items.c.id.in_(ids), items.c.state != "erased").order_by(items.c.position)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if not rows:
        return 0
    texts = {row.item: row.content for row in connection.execute(sa.select(contents).where(contents.c.item.in_(ids)))}
    pseudonyms = _blank_reports(connection, reports.c.item.in_([row["id"] for row in rows]))
    rewritten = _rewrite_log(
        connection, [row["id"] for row in rows], lambda payload: _without_report(_without_texts(payload), pseudonyms)
    )
    entries = []
    for row in rows:
        connection.execute(contents.update().where(contents.c.item == row["id"]).values(_blank_content(texts[row["id"]])))
        if row["expected_label"] is not None:
            forget_gold(connection, row["guideline"])
        gone = {"state": "erased", "excerpt": "", "expected_label": None, "expected_rule": None}
        changed = change_item(connection, row, **FREE, **gone)
        payload = {"items": audited_columns(changed), "rewritten": rewritten.get(row["id"], {})}
        entries.append((ERASED, actor, row["id"], payload))
    for table in (verdicts, skips, comments):
        within = table.c.item.in_([row["id"] for row in rows])
        connection.execute(table.update().where(within).values(BLANKS[table.name]))
    connection.execute(senders.delete().where(senders.c.item.in_([row["id"] for row in rows])))
    append_many(connection, entries, now)
    return len(rows)


def _erase_reports(connection: sa.Connection, name: str, ids: Sequence[str], actor: str, now: float) -> None:
    """Erase what somebody wrote in reports of items, in a writing transaction, and that the reports are theirs."""
    pseudonyms = _blank_reports(connection, reports.c.item.in_(ids) & (reports.c.reporter == hash_name(connection, name)))
    reported = [item for item, _ in pseudonyms]
    rewritten = _rewrite_log(connection, reported, lambda payload: _without_report(payload, pseudonyms))
    append_many(connection, [(ERASED, actor, item, {"rewritten": rewritten.get(item, {})}) for item in reported], now)


def _blank_reports(connection: sa.Connection, chosen: sa.ColumnElement[bool]) -> dict[tuple[str, str], str]:
    """Remove comments and reporters from reports; returns, by item and reporter, what stands for the reporter now."""
    c = reports.c
    query = sa.select(c.item, c.reporter).where(chosen, HAS_REPORTER).order_by(c.item, c.reporter)
    pseudonyms = {(row.item, row.reporter): f"{ERASED_REPORTER}{uuid4().hex}" for row in connection.execute(query)}
    for (item, reporter), pseudonym in pseudonyms.items():
        blank = {**BLANKS[reports.name], "reporter": pseudonym}
        connection.execute(reports.update().where(c.item == item, c.reporter == reporter).values(blank))
    return pseudonyms


def _blank_content(content: str) -> Json:
    """The columns of an item's row in `contents`, without its texts."""
    value = json.loads(content)
    value |= {"messages": [], "answers": [""] * len(value["answers"])}
    return {"content": format_json(value), "decision": "null", "origin": "null"}


def _rewrite_log(
    connection: sa.Connection, ids: Sequence[str], rewrite: Callable[[Json], Json]
) -> dict[str, dict[str, str]]:
    """Rewrite the log's payloads about some items; returns, by item and number of the row, the new hashes."""
    query = sa.select(audit.c.seq, audit.c.item, audit.c.payload).where(audit.c.item.in_(ids)).order_by(audit.c.seq)
    hashes: dict[str, dict[str, str]] = {}
    for row in connection.execute(query).all():
        payload = format_json(rewrite(json.loads(row.payload)))
        if payload != row.payload:
            connection.execute(audit.update().where(audit.c.seq == row.seq).values(payload=payload))
            hashes.setdefault(row.item, {})[str(row.seq)] = sha256(payload.encode()).hexdigest()
    return hashes


def _without_texts(payload: Mapping[str, Any]) -> Json:
    values = {name: value | BLANKS[name] if name in BLANKS else value for name, value in payload.items()}
    return values | ({"comment": ""} if "comment" in values else {})


def _without_report(payload: Json, pseudonyms: Mapping[tuple[str, str], str]) -> Json:
    """A payload without the comment and the reporter, if it is of one of some reports."""
    report = payload.get(reports.name)
    if report is None or (pseudonym := pseudonyms.get((report["item"], report["reporter"]))) is None:
        return payload
    return payload | {reports.name: {**report, **BLANKS[reports.name], "reporter": pseudonym}}
