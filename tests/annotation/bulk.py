"""Many votes, written into the tables at once."""

from collections.abc import Iterable
from itertools import count

import sqlalchemy as sa

from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, verdicts

_numbers = count()


def add_votes(
    store: ReviewStore,
    votes: Iterable[tuple[str, str, str, str]],
    *,
    version: int = 1,
    guideline: str = "harm",
    **columns: str,
) -> None:
    """Add votes without claims and without the log.

    Args:
        store: to write to.
        votes: item, reviewer, label and rule of each.
        version: of the guideline.
        guideline: its name.
        columns: other columns of all rows.
    """
    rows = [
        {
            **{"item": item, "reviewer": reviewer, "label": label, "rule": rule, "version": version, "guideline": guideline},
            **{"id": f"v{next(_numbers)}", "kind": "review", "comment": "", "correction": "", "contains": "[]"},
            **{
                "excludes": "[]",
                "seconds": 4.0,
                "swapped": False,
                "is_gold": False,
                "created": 1.0,
                "answer_state": "",
                "answer_verdicts": 1,
            },
            **columns,
        }
        for item, reviewer, label, rule in votes
    ]
    with store.writing() as (connection, _):
        connection.execute(verdicts.insert(), rows)


def set_columns(store: ReviewStore, item: str, **columns: str) -> None:
    """Change an item's row."""
    with store.writing() as (connection, _):
        connection.execute(sa.update(items).where(items.c.id == item).values(columns))
