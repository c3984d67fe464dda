"""Reports of users: each person's report of an item counts once. Names are kept as hashes only."""

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append
from lmcraft.annotation.content import check_content
from lmcraft.annotation.queue.adding import add_items
from lmcraft.annotation.queue.senders import hash_name
from lmcraft.annotation.queue.versions import GuidelineVersions
from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import reports
from lmcraft.database import check_text

ACTOR = "users"
"""Who reports, in the audit log."""
MAX_REASON_CHARS = 16
MAX_COMMENT_CHARS = 2_000


def report_item(store: ReviewStore, item: NewItem, reporter: str, reason: str, comment: str = "") -> str:
    """Add an item that a user reports, or raise its traffic; the same person's second report of it changes nothing.

    Args:
        store: of the reviews.
        item: its source must be `report`.
        reporter: who reports it, of which the store keeps only a hash.
        reason: a word.
        comment: theirs.

    Returns:
        The item's id.

    Raises:
        UserError: a value is invalid.
        NotFoundError: there is no such guideline.
        StoreError: the database failed.
    """
    with store.writing() as (connection, now):
        current = GuidelineVersions(connection).current([item.guideline])
        row = {
            "item": check_content(item, current[item.guideline]).id,
            "reporter": hash_name(connection, reporter),
            "reason": check_text("reason", reason, MAX_REASON_CHARS),
            "comment": check_text("comment", comment, MAX_COMMENT_CHARS),
            "created": now,
        }
        is_same = (reports.c.item == row["item"]) & (reports.c.reporter == row["reporter"])
        if connection.execute(sa.select(reports.c.item).where(is_same)).first() is None:
            add_items(connection, [item], ACTOR, current, now)
            connection.execute(reports.insert().values(row))
            append(connection, "reported", ACTOR, str(row["item"]), {"reports": row}, now)
        return str(row["item"])
