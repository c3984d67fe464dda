"""How much each person has judged under each guideline, which decides when a gold item is due."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.tables import items, reviewers, skips, verdicts


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


def _last_known_gold(connection: sa.Connection, reviewer: str, guideline: str, done: int) -> int:
    """The position up to which a person knows all gold items of a guideline."""
    c = items.c
    is_gold = c.expected_label.is_not(None) & (c.guideline == guideline) & (c.position > done)
    query = sa.select(c.position).where(is_gold & is_new_to(reviewer)).order_by(c.position).limit(1)
    first_unknown = connection.execute(query).scalar()
    if first_unknown is not None:
        return int(first_unknown) - 1
    return int(connection.execute(sa.select(sa.func.max(c.position)).where(is_gold)).scalar() or done)
