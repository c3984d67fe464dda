"""Gold items: their right verdict is known, so they show how reliable a reviewer is.

They are mixed in at a share, never settle, and are never exported.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lmcraft.annotation.guidelines.guideline import Guideline
from lmcraft.annotation.tables import items, verdicts
from lmcraft.errors import UserError

MIN_SHOWN = 5
SECONDS_PER_DAY = 86_400


@dataclass(frozen=True)
class ExpectedVerdict:
    """The verdict that is known to be right."""

    label: str
    rule: str = ""


def check_expected(expected: ExpectedVerdict, guideline: Guideline) -> None:
    """Check that a verdict fits a guideline.

    Raises:
        UserError: it has no such label or rule.
    """
    if guideline.label(expected.label) is None:
        raise UserError(
            f"expected label {expected.label[:64]!a} is not one of guideline '{guideline.name}'; use one of its labels"
        )
    if expected.rule and guideline.rule(expected.rule) is None:
        raise UserError(
            f"expected rule {expected.rule[:64]!a} is not one of guideline '{guideline.name}'; use one of its rules"
        )


def is_due(reviewer: str, judged: int, share: float, salt: str) -> bool:
    """Whether a reviewer's next item is a gold item.

    Args:
        reviewer: their name.
        judged: items that they have judged or skipped so far.
        share: of gold items among all.
        salt: a secret of the store.
    """
    return _number(salt, reviewer, judged) < share * 2.0**64


def pick(reviewer: str, unseen: Sequence[str], salt: str) -> str | None:
    """One of the gold items that a reviewer has not seen; None if there is none."""
    return min(unseen, key=lambda item: _number(salt, reviewer, item), default=None)


def count_left(reviewer: str, judged: int, num_ordinary: int, num_unseen: int, share: float, salt: str) -> int:
    """How many items a reviewer gets until no ordinary one is left, gold items among them: one fewer after each.

    Args:
        reviewer: their name.
        judged: items that they have judged or skipped so far.
        num_ordinary: ordinary items that they could claim.
        num_unseen: gold items that they have not seen.
        share: of gold items among all.
        salt: a secret of the store.
    """
    num_left = 0
    while num_ordinary:
        is_gold = num_unseen > 0 and is_due(reviewer, judged + num_left, share, salt)
        num_unseen, num_ordinary = num_unseen - is_gold, num_ordinary - (not is_gold)
        num_left += 1
    return num_left


def record(connection: sa.Connection, reviewer: str, now: float) -> dict[str, int] | None:
    """What a reviewer may know of their gold items: how many they `judged` and how many were `correct`.

    It counts verdicts before the last midnight (UTC), else the count would tell whether the last item was a gold item.

    Args:
        connection: in a transaction.
        reviewer: their name.
        now: seconds since 1970.

    Returns:
        None for fewer than five.
    """
    v, c = verdicts.c, items.c
    correct = sa.func.sum(sa.case((v.label == c.expected_label, 1), else_=0))
    is_old = v.created < now // SECONDS_PER_DAY * SECONDS_PER_DAY
    query = sa.select(sa.func.count(), correct).join(items, c.id == v.item)
    row = connection.execute(query.where(v.reviewer == reviewer, v.is_gold, v.kind == "review", is_old)).one()
    return {"judged": row[0], "correct": int(row[1])} if row[0] >= MIN_SHOWN else None


def _number(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256("\n".join(map(str, parts)).encode()).digest()[:8])
