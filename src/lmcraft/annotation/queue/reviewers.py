"""How much each person has judged under each guideline, which decides when a gold item is due."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from lmcraft.annotation.tables import items, reviewers, skips, verdicts

GOLD_BLOCK = 200  # gold items among which the next one is drawn


class GoldItem(NamedTuple):
    """Where a gold item is."""

    id: str
    position: int
    lease_expires: float


def count_judged(connection: sa.Connection, reviewer: str, row: Mapping[str, Any]) -> None:
    """Count one more item that a person has judged, skipped or escalated; `row` is the item's."""
    r = reviewers.c
    guideline = row["guideline"]
    mine = (r.name == reviewer) & (r.guideline == guideline)
    changes: dict[str, Any] = {"num_judged": r.num_judged + 1}
    if row["expected_label"] is not None:
        done = connection.execute(sa.select(r.gold_position).where(mine)).scalar() or 0
        changes["gold_position"] = _last_known_gold(connection, reviewer, guideline, done)
    if connection.execute(reviewers.update().where(mine).values(changes)).rowcount == 0:
        new = {"name": reviewer, "guideline": guideline, "num_judged": 1, "gold_position": changes.get("gold_position", 0)}
        connection.execute(reviewers.insert().values(new))


def forget_gold(connection: sa.Connection, guideline: str) -> None:
    """Have everybody look for gold items from the first one on, since an older item has become one."""
    connection.execute(reviewers.update().where(reviewers.c.guideline == guideline).values(gold_position=0))


def is_new_to(reviewer: str) -> sa.ColumnElement[bool]:
    """Whether a person has neither judged nor skipped an item."""
    judged = sa.exists().where(verdicts.c.item == items.c.id, verdicts.c.reviewer == reviewer)
    skipped = sa.exists().where(skips.c.item == items.c.id, skips.c.reviewer == reviewer)
    return ~judged & ~skipped


def unknown_gold(connection: sa.Connection, reviewer: str, guideline: str, done: int) -> list[GoldItem]:
    """The gold items that a person does not know among the first of those after a position; none if there are none at all.

    Args:
        connection: in a transaction.
        reviewer: the person.
        guideline: whose gold items.
        done: a position up to which the person knows all of them.
    """
    c = items.c
    while True:
        is_next = c.expected_label.is_not(None) & (c.guideline == guideline) & (c.position > done)
        query = sa.select(c.id, c.position, c.lease_expires).where(is_next).order_by(c.position).limit(GOLD_BLOCK)
        block = [GoldItem(*row) for row in connection.execute(query)]
        ids = [item.id for item in block]
        judged = sa.select(verdicts.c.item).where(verdicts.c.item.in_(ids), verdicts.c.reviewer == reviewer)
        skipped = sa.select(skips.c.item).where(skips.c.item.in_(ids), skips.c.reviewer == reviewer)
        known_ids = set(connection.execute(judged.union(skipped)).scalars()) if ids else set()
        unknown = [item for item in block if item.id not in known_ids]
        if unknown or not block:
            return unknown
        done = block[-1].position


def _last_known_gold(connection: sa.Connection, reviewer: str, guideline: str, done: int) -> int:
    """The position up to which a person knows all gold items of a guideline."""
    if unknown := unknown_gold(connection, reviewer, guideline, done):
        return unknown[0].position - 1
    c = items.c
    is_gold = c.expected_label.is_not(None) & (c.guideline == guideline) & (c.position > done)
    return int(connection.execute(sa.select(sa.func.max(c.position)).where(is_gold)).scalar() or done)
