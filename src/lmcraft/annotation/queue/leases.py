"""Who holds which item, and which one comes next.

A person holds an item by a lease: a random token and a time of its end, in the item's row, so that nobody else can hold the
item. Only who has the token can judge. The time of its end only decides from when on others may take the item: a verdict
with the token of the row counts even after that time, since nobody took the item in between. So a clock that jumps forward
costs at most an item that somebody else claims sooner; and one that jumps back cannot hold items for longer than a lease,
because each claim shortens the leases that end later than a new one would.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.agreement import gold
from lmcraft.annotation.content import is_swapped, map_label, shown_answers
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.queue.exposure import add_exposure, count_exposures
from lmcraft.annotation.queue.queries import read_reports
from lmcraft.annotation.queue.reviewers import is_new_to, unknown_gold
from lmcraft.annotation.queue.states import FREE, Bucket, open_buckets, read_item
from lmcraft.annotation.records import Claim, ClaimedItem, Json, LeaseLostError, Task
from lmcraft.annotation.tables import IS_HELD, buckets, contents, items, reviewers, rounds, skips, verdicts

MAX_COUNTED = 200  # items that are left, with the gold items among them; a larger number is rounded down
_TOKEN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Rules:
    """What the store's settings say about claims."""

    lease_seconds: float
    exposure_cap: int
    gold_share: float
    salt: str
    """Secret, so that nobody can compute which items are gold."""


def claim_item(
    connection: sa.Connection,
    reviewer: str,
    task: Task,
    guidelines: Mapping[str, GuidelineVersion],
    rules: Rules,
    now: float,
) -> Claim:
    """Let a person hold the item that they hold already, or else the next one.

    Args:
        connection: in a writing transaction.
        reviewer: who claims.
        task: to review, or to adjudicate.
        guidelines: the current versions of those whose items may be claimed, by name.
        rules: of the store.
        now: seconds since 1970.
    """
    held = _held_items(connection, now + rules.lease_seconds)
    mine = [row for row in held if (row["holder"], row["lease_task"]) == (reviewer, task) and row["guideline"] in guidelines]
    queue = "review" if task == "review" else "adjudicate"
    open_to_me = open_buckets(connection, queue, guidelines, reviewer)
    if mine:
        row = mine[0]
    else:
        sensitive = {name for name, guideline in guidelines.items() if guideline.sensitive}
        is_capped = bool(sensitive) and count_exposures(connection, reviewer, now) >= rules.exposure_cap
        allowed = guidelines.keys() - sensitive if is_capped else guidelines.keys()
        next_item = _next_item(connection, reviewer, task, allowed, open_to_me, rules, now)
        if next_item is None:
            is_left = is_capped and _next_item(connection, reviewer, task, sensitive, open_to_me, rules, now) is not None
            return Claim(None, "exposure_cap" if is_left else "empty")
        row = next_item
        row |= {"holder": reviewer, "lease": secrets.token_hex(16), "lease_task": task}
        row["lease_version"] = guidelines[row["guideline"]].version
    row["lease_expires"] = now + rules.lease_seconds
    lease = {name: row[name] for name in FREE}
    connection.execute(items.update().where(items.c.position == row["position"]).values(lease))
    guideline = guidelines[row["guideline"]]
    if guideline.sensitive:
        add_exposure(connection, reviewer, row["id"], now)
    num_left = sum(bucket.size for bucket in open_to_me)
    if task == "review":
        num_left = _count_left(connection, reviewer, open_to_me, rules)
    return Claim(_claimed_item(connection, row, reviewer, guideline, now, max(num_left, 1)))


def check_lease(row: Mapping[str, Any], token: str, reviewer: str, task: Task) -> None:
    """Check that a person holds an item.

    Raises:
        LeaseLostError: they do not.
    """
    if not is_token(token) or (row["lease"], row["holder"], row["lease_task"]) != (token, reviewer, task):
        raise LeaseLostError


def is_token(token: str) -> bool:
    """Whether a text has the form of a token."""
    return _TOKEN.fullmatch(token) is not None


def renew_lease(connection: sa.Connection, token: str, reviewer: str, expires: float) -> None:
    """Move the end of a lease.

    Raises:
        LeaseLostError: the person does not hold the item any more.
    """
    held = IS_HELD & (items.c.holder == reviewer) & (items.c.lease == token)
    if not is_token(token) or connection.execute(items.update().where(held).values(lease_expires=expires)).rowcount != 1:
        raise LeaseLostError


def release_lease(connection: sa.Connection, token: str, reviewer: str) -> None:
    """Let others have an item; nothing happens if the person does not hold it any more."""
    if is_token(token):
        connection.execute(
            items.update().where(IS_HELD & (items.c.holder == reviewer) & (items.c.lease == token)).values(FREE)
        )


def _held_items(connection: sa.Connection, latest: float) -> list[Json]:
    """All items that somebody holds. No lease ends later than one that begins now: the clock may have jumped back."""
    held = connection.execute(sa.select(items).where(IS_HELD)).mappings()  # in order, SQLite would read the whole table
    rows = sorted((dict(row) for row in held), key=lambda row: row["position"])
    if any(row["lease_expires"] > latest for row in rows):
        too_long = IS_HELD & (items.c.lease_expires > latest)
        connection.execute(items.update().where(too_long).values(lease_expires=latest))
    return rows


def _next_item(
    connection: sa.Connection,
    reviewer: str,
    task: Task,
    guidelines: Collection[str],
    open_to_me: Sequence[Bucket],
    rules: Rules,
    now: float,
) -> Json | None:
    """The item that a person gets next.

    Args:
        connection: in a writing transaction.
        reviewer: who claims.
        task: to review, or to adjudicate.
        guidelines: names of those whose items may be claimed.
        open_to_me: the buckets of the task's queue that are open to the person.
        rules: of the store.
        now: seconds since 1970.
    """
    if task == "review" and (row := _round_item(connection, reviewer, guidelines, now)) is not None:
        return row
    best = _best_item(connection, [bucket.id for bucket in open_to_me if bucket.guideline in guidelines], now)
    if best is None or task == "adjudicate":
        return best
    return _gold_item(connection, reviewer, best["guideline"], rules, now) or best


def _best_item(connection: sa.Connection, bucket_ids: Sequence[int], now: float) -> Json | None:
    """The free item of highest priority: the best of the first items of all buckets that are open to a person."""
    if not bucket_ids:
        return None
    free = (items.c.bucket == buckets.c.id) & (items.c.lease_expires <= now)
    order = (items.c.priority.desc(), items.c.position)
    first = sa.select(items.c.position).where(free).order_by(*order).limit(1).correlate(buckets).scalar_subquery()
    heads = sa.select(first.label("position")).where(buckets.c.id.in_(bucket_ids)).subquery()
    query = sa.select(items).join(heads, items.c.position == heads.c.position).order_by(*order).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else dict(row)


def _round_item(connection: sa.Connection, reviewer: str, guidelines: Collection[str], now: float) -> Json | None:
    """An item of an open calibration round that a person has not judged."""
    c, r = items.c, rounds.c
    query = sa.select(r.id).where(r.state == "open", r.guideline.in_(guidelines))
    open_rounds = connection.execute(query).scalars().all()
    if not open_rounds:
        return None
    is_free = c.round.in_(open_rounds) & (c.state != "erased") & (c.lease_expires <= now)
    row = (
        connection.execute(sa.select(items).where(is_free & is_new_to(reviewer)).order_by(c.position).limit(1))
        .mappings()
        .first()
    )
    return None if row is None else dict(row)


def _gold_item(connection: sa.Connection, reviewer: str, guideline: str, rules: Rules, now: float) -> Json | None:
    """A gold item of a guideline, if a person's turn has come and there is one that they do not know."""
    r = reviewers.c
    progress = connection.execute(sa.select(reviewers).where(r.name == reviewer, r.guideline == guideline)).first()
    num_judged, done = (progress.num_judged, progress.gold_position) if progress else (0, 0)
    if not gold.is_due(reviewer, num_judged, rules.gold_share, rules.salt):
        return None
    unseen = [item.id for item in unknown_gold(connection, reviewer, guideline, done) if item.lease_expires <= now]
    item = gold.pick(reviewer, unseen, rules.salt)
    return None if item is None else read_item(connection, item)


def _count_left(connection: sa.Connection, reviewer: str, open_to_me: Sequence[Bucket], rules: Rules) -> int:
    """How many items a person could claim, told so that it does not show which were gold: these count, or it is rounded."""
    sizes = Counter[str]()
    for bucket in open_to_me:
        sizes[bucket.guideline] += bucket.size
    total = sum(sizes.values())
    if total > MAX_COUNTED:
        return total - total % MAX_COUNTED
    r, c = reviewers.c, items.c
    progress = {row.guideline: row for row in connection.execute(sa.select(reviewers).where(r.name == reviewer))}
    gold_of = c.expected_label.is_not(None) & c.guideline.in_(sizes) & is_new_to(reviewer)
    query = sa.select(c.guideline, sa.func.count()).where(gold_of).group_by(c.guideline)
    unseen: dict[str, int] = dict(connection.execute(query).tuples().all())
    return sum(
        gold.count_left(
            reviewer,
            progress[name].num_judged if name in progress else 0,
            size,
            unseen.get(name, 0),
            rules.gold_share,
            rules.salt,
        )
        for name, size in sizes.items()
    )


def _claimed_item(
    connection: sa.Connection, row: Json, reviewer: str, guideline: GuidelineVersion, now: float, num_left: int
) -> ClaimedItem:
    content = connection.execute(sa.select(contents).where(contents.c.item == row["id"])).one()
    texts = json.loads(content.content)
    swapped = guideline.kind == "preference" and is_swapped(reviewer, row["id"])
    claimed = ClaimedItem(
        id=row["id"],
        guideline=row["guideline"],
        version=row["lease_version"],
        kind=guideline.kind,
        subject=row["subject"],
        messages=texts["messages"],
        answers=shown_answers(texts["answers"], swapped=swapped),
        sensitive=guideline.sensitive,
        round=row["round"],
        token=row["lease"],
        expires=row["lease_expires"],
        seconds=row["lease_expires"] - now,
        num_left=num_left,
    )
    if row["lease_task"] == "review":
        return claimed
    item_verdicts = _anonymous_verdicts(connection, row["id"], swapped)
    adjudication = {
        "state": row["state"],
        "source": row["source"],
        "decision": json.loads(content.decision),
        "verdicts": item_verdicts,
        "escalations": _anonymous_escalations(connection, row["id"], len(item_verdicts)),
        "reports": read_reports(connection, row["id"]),
    }
    return replace(claimed, adjudication=adjudication)


def _anonymous_verdicts(connection: sa.Connection, item: str, swapped: bool) -> Sequence[Json]:
    """The verdicts of an item, oldest first, with letters for reviewers, and labels for the answers as they are shown."""
    query = sa.select(verdicts).where(verdicts.c.item == item).order_by(verdicts.c.position)
    rows = connection.execute(query).mappings().all()
    kept = ("rule", "comment", "correction", "version", "created")
    return [
        {
            "reviewer": letters_of(index),
            "label": map_label(row["label"], swapped=swapped),
            **{name: row[name] for name in kept},
        }
        for index, row in enumerate(rows)
    ]


def _anonymous_escalations(connection: sa.Connection, item: str, num_verdicts: int) -> list[Json]:
    """Why reviewers passed an item on, oldest first, with letters for them after those of the verdicts."""
    s = skips.c
    query = sa.select(s.comment, s.created).where(s.item == item, s.kind == "escalate").order_by(s.created, s.reviewer)
    rows = connection.execute(query).mappings().all()
    return [{"reviewer": letters_of(num_verdicts + index), **row} for index, row in enumerate(rows)]


def letters_of(index: int) -> str:
    """What an adjudicator sees in place of the name of the reviewer with this number: A, B, ... Z, AA, AB, ..."""
    last = chr(ord("A") + index % 26)
    return last if index < 26 else letters_of(index // 26 - 1) + last
