"""Calibration rounds: all reviewers judge the same items blind, the owner reveals the votes, and people discuss them.

A round takes items out of the queue. Their votes are no verdicts: they settle nothing and are never exported. Nobody, the
owner included, sees one of them before the reveal, and nobody can vote after it. Then the items that have votes stay with
the round, and the others return to the queue.

JSON of a round, by `list_rounds` and `open_round`; times are seconds since 1970:

    {id, name, guideline, version, kind, state: open | revealed, created, by, revealed (or null), revealed_by (or null),
     items, voters, votes, mine (votes of the caller)}

`read_round` and `reveal_round` add

    {labels: [name], progress: [{reviewer, votes}],
     entries: [{id, subject, messages, answers, sensitive, voted (by the caller), unanimous,
                votes: [{reviewer, label, rule, comment, correction, version, created}],
                comments: [{id, author, text, created}]}],
     agreement: what `agreement.summarize_agreement` returns}

While the round is open, votes and comments are empty, unanimous and agreement are null, and the texts are those that the
caller has judged. After it, the items on which people differ most come first.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from lmcraft.annotation.agreement.report import summarize_agreement
from lmcraft.annotation.agreement.vote_table import read_vote_table
from lmcraft.annotation.audit_log.log import append, append_many
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.queue.states import FREE, audited_columns, change_item, read_item
from lmcraft.annotation.queue.verdicts import check_id
from lmcraft.annotation.queue.versions import GuidelineVersions
from lmcraft.annotation.records import ConflictError, Json, NotFoundError, WrongStateError
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import comments, contents, items, round_items, rounds, verdicts
from lmcraft.database import check_text, is_storable
from lmcraft.errors import UserError

MAX_ITEMS = 500
MAX_NAME_CHARS = 200
MAX_COMMENT_CHARS = 4_000
MAX_COMMENTS = 1_000  # on one item

_agreements: WeakKeyDictionary[ReviewStore, dict[str, Json]] = WeakKeyDictionary()
"""Of revealed rounds, whose votes never change."""


def open_round(
    store: ReviewStore, name: str, guideline: str, actor: str, *, ids: Sequence[str] = (), count: int = 0
) -> Json:
    """Open a round with items that nobody has judged yet.

    Args:
        store: the review store.
        name: what people call the round; each has another.
        guideline: by which the items are judged.
        actor: who opens it.
        ids: the items; or
        count: how many to draw at random.

    Raises:
        NotFoundError: there is no such guideline or item.
        WrongStateError: an item does not wait for its first review.
        UserError: the name is taken or invalid, or there are too few or too many items.
    """
    name = check_text("name", name.strip(), MAX_NAME_CHARS)
    if not name:
        raise UserError("a calibration round needs a name; give one")
    ids = list(dict.fromkeys(ids))
    if bool(ids) == bool(count) or not 1 <= (count or len(ids)) <= MAX_ITEMS:
        raise UserError(f"a calibration round has {count or len(ids)} items; name 1 to {MAX_ITEMS}, or give their number")
    with store.writing() as (connection, now):
        version = GuidelineVersions(connection)[guideline][-1]
        if connection.execute(sa.select(rounds.c.id).where(rounds.c.name == name)).first():
            raise UserError(f"name={name!a} belongs to another calibration round; choose another", code="round_exists")
        rows = [_waiting_item(connection, item, guideline, now) for item in ids] or _draw(connection, guideline, count, now)
        new = {
            **{"id": uuid4().hex, "name": name, "guideline": guideline, "version": version.version, "state": "open"},
            **{"created": now, "created_by": actor, "revealed": None, "revealed_by": None},
        }
        members = [{"round": new["id"], "item": row["id"], "position": position} for position, row in enumerate(rows)]
        connection.execute(rounds.insert().values(new))
        connection.execute(round_items.insert(), members)
        changed = [change_item(connection, row, **FREE, round=new["id"]) for row in rows]
        entries = [("round_opened", actor, row["id"], {"items": audited_columns(row)}) for row in changed]
        first = ("round_opened", actor, "", {"rounds": new, "round_items": members})
        append_many(connection, [first, *entries], now)
        return _summaries(connection, [new], actor)[0]


def list_rounds(store: ReviewStore, person: str) -> list[Json]:
    """All rounds, the newest first, as a person may see them."""
    with store.reading() as (connection, _):
        rows = connection.execute(sa.select(rounds).order_by(rounds.c.created.desc(), rounds.c.id)).mappings()
        return _summaries(connection, [dict(row) for row in rows], person)


def read_round(store: ReviewStore, round_id: str, person: str) -> Json:
    """A round as a person may see it.

    Raises:
        NotFoundError: there is none.
    """
    with store.reading() as (connection, _):
        return _detail(store, connection, round_id, person)


def reveal_round(store: ReviewStore, round_id: str, actor: str) -> Json:
    """Show everybody the votes, and take no more. A round that was revealed stays as it is.

    Raises:
        NotFoundError: there is none.
    """
    with store.writing() as (connection, now):
        row = _round(connection, round_id)
        if row["state"] == "open":
            row |= {"state": "revealed", "revealed": now, "revealed_by": actor}
            connection.execute(rounds.update().where(rounds.c.id == round_id).values(row))
            voted = set(connection.execute(sa.select(verdicts.c.item).where(verdicts.c.round == round_id)).scalars())
            query = sa.select(items).where(items.c.round == round_id).order_by(items.c.position)
            entries: list[tuple[str, str, str, Mapping[str, Any]]] = [("round_revealed", actor, "", {"rounds": row})]
            for item in [dict(mapping) for mapping in connection.execute(query).mappings()]:
                changes: Json = FREE | {"state": "reviewed"} if item["id"] in voted else {"round": None}
                changes |= {"state": "erased"} if item["state"] == "erased" else {}
                changed = change_item(connection, item, **changes)
                entries.append(("round_revealed", actor, item["id"], {"items": audited_columns(changed)}))
            append_many(connection, entries, now)
    return read_round(store, round_id, actor)  # computing agreement would keep others from writing


def add_comment(store: ReviewStore, round_id: str, item: str, author: str, comment_id: str, text: str) -> Json:
    """Comment on an item of a revealed round. The same comment again gets the same answer.

    Args:
        store: the review store.
        round_id: of the round.
        item: its id.
        author: who comments.
        comment_id: chosen by the client.
        text: the comment.

    Raises:
        NotFoundError: there is no such round, or it has no such item.
        WrongStateError: the round is open.
        ConflictError: the id belongs to another comment.
        UserError: the text is empty or too long, or a character cannot be stored.
    """
    check_id(comment_id)
    if not check_text("text", text, MAX_COMMENT_CHARS).strip():
        raise UserError("the comment is empty; write something")
    new: Json = {"id": comment_id, "round": round_id, "item": item, "author": author, "text": text}
    with store.writing() as (connection, now):
        round_row, row = _round(connection, round_id), read_item(connection, item)
        if round_row["state"] == "open":
            raise WrongStateError(item, "part of an open calibration round", "comment after the reveal", code="round_open")
        if row["round"] != round_id:
            raise NotFoundError("item", item)
        stored = connection.execute(sa.select(comments).where(comments.c.id == comment_id)).mappings().first()
        if stored is not None:
            if any(stored[name] != value for name, value in new.items()):
                raise ConflictError("comment", comment_id)
            return _comment(dict(stored))
        on_item = sa.select(sa.func.count()).where(comments.c.round == round_id, comments.c.item == item)
        if connection.execute(on_item).scalar_one() >= MAX_COMMENTS:
            raise UserError(f"the item has {MAX_COMMENTS:,} comments, the most there can be; discuss it elsewhere")
        new["created"] = now
        connection.execute(comments.insert().values(new))
        append(connection, "comment", author, item, {"comments": new}, now)
        return _comment(new)


def _waiting(guideline: str, now: float) -> sa.ColumnElement[bool]:
    """Whether an item waits for its first review, and nobody holds it."""
    c = items.c
    is_untouched = (c.state == "pending") & (c.num_verdicts == 0) & (c.num_skips == 0) & (c.lease_expires <= now)
    return is_untouched & (c.guideline == guideline) & c.round.is_(None) & c.expected_label.is_(None)


def _waiting_item(connection: sa.Connection, item: str, guideline: str, now: float) -> Json:
    query = sa.select(items).where(items.c.id == read_item(connection, item)["id"], _waiting(guideline, now))
    row = connection.execute(query).mappings().first()
    if row is None:
        message = "choose items of the guideline that nobody has judged, skipped or holds, and that are in no other round"
        raise WrongStateError(item, "not available for a calibration round", message, code="item_unavailable")
    return dict(row)


def _draw(connection: sa.Connection, guideline: str, count: int, now: float) -> list[Json]:
    """Random items: an id is a hash of the content, so those with the least ids are a random sample."""
    query = sa.select(items).where(_waiting(guideline, now)).order_by(items.c.id).limit(count)
    rows = [dict(row) for row in connection.execute(query).mappings()]
    if len(rows) < count:
        raise UserError(
            f"count={count} is too many: items of guideline {guideline!a} that wait for their first review: {len(rows)}; "
            "choose fewer, or add items",
            code="too_few_items",
            values={"waiting": len(rows)},
        )
    return rows


def _round(connection: sa.Connection, round_id: str) -> Json:
    query = sa.select(rounds).where(rounds.c.id == round_id)
    row = connection.execute(query).mappings().first() if is_storable(round_id) else None
    if row is None:
        raise NotFoundError("calibration round", round_id)
    return dict(row)


def _summaries(connection: sa.Connection, rows: Sequence[Json], person: str) -> list[Json]:
    v, c = verdicts.c, items.c
    of_items = sa.select(c.round, sa.func.count()).where(c.round.is_not(None)).group_by(c.round)
    num_items: dict[str, int] = {row[0]: row[1] for row in connection.execute(of_items)}
    by_reviewer = sa.select(v.round, v.reviewer, sa.func.count()).where(v.round.is_not(None)).group_by(v.round, v.reviewer)
    votes: dict[str, dict[str, int]] = {}
    for round_id, reviewer, number in connection.execute(by_reviewer):
        votes.setdefault(round_id, {})[reviewer] = number
    versions = GuidelineVersions(connection)
    kept = ("id", "name", "guideline", "version", "state", "created", "revealed", "revealed_by")
    return [
        {
            **{name: row[name] for name in kept},
            "by": row["created_by"],
            "kind": versions[row["guideline"]][-1].kind,
            "items": num_items.get(row["id"], 0),
            "voters": len(votes.get(row["id"], {})),
            "votes": sum(votes.get(row["id"], {}).values()),
            "mine": votes.get(row["id"], {}).get(person, 0),
        }
        for row in rows
    ]


def _detail(store: ReviewStore, connection: sa.Connection, round_id: str, person: str) -> Json:
    row = _round(connection, round_id)
    versions = GuidelineVersions(connection)[row["guideline"]]
    is_open = row["state"] == "open"
    query = sa.select(verdicts).where(verdicts.c.round == round_id).order_by(verdicts.c.position)
    votes = [dict(vote) for vote in connection.execute(query).mappings()]
    by_reviewer: dict[str, int] = {}
    for vote in votes:
        by_reviewer[vote["reviewer"]] = by_reviewer.get(vote["reviewer"], 0) + 1
    return {
        **_summaries(connection, [row], person)[0],
        "labels": [label.name for label in versions[-1].labels],
        "progress": [{"reviewer": name, "votes": number} for name, number in sorted(by_reviewer.items())],
        "entries": _entries(connection, round_id, votes, person, versions[-1], is_open),
        "agreement": None if is_open else _agreement(store, connection, row, votes, versions),
    }


def _entries(
    connection: sa.Connection, round_id: str, votes: Sequence[Json], person: str, guideline: GuidelineVersion, is_open: bool
) -> list[Json]:
    c, m = items.c, round_items.c
    query = sa.select(c.id, contents.c.content).join(contents, contents.c.item == c.id).join(round_items, m.item == c.id)
    rows = connection.execute(query.where(m.round == round_id, c.round == round_id).order_by(m.position)).all()
    by_item: dict[str, list[Json]] = {row.id: [] for row in rows}
    for vote in votes:
        by_item[vote["item"]].append(vote)
    threads = {} if is_open else _threads(connection, round_id)
    shown = ("reviewer", "label", "rule", "comment", "correction", "version", "created")
    entries: list[Json] = []
    for row in rows:
        item_votes, content = by_item[row.id], json.loads(row.content)
        has_voted = any(vote["reviewer"] == person for vote in item_votes)
        if is_open and not has_voted:
            content |= {"messages": [], "answers": []}
        entries.append(
            {
                "id": row.id,
                **content,
                "sensitive": guideline.sensitive,
                "voted": has_voted,
                "unanimous": None if is_open else len({vote["label"] for vote in item_votes}) == 1,
                "votes": [] if is_open else [{name: vote[name] for name in shown} for vote in item_votes],
                "comments": threads.get(row.id, []),
            }
        )
    return entries if is_open else sorted(entries, key=_largest_share)


def _largest_share(entry: Json) -> float:
    """The share of the votes for the label that most chose."""
    labels = [vote["label"] for vote in entry["votes"]]
    return max((labels.count(label) for label in labels), default=0) / max(len(labels), 1)


def _threads(connection: sa.Connection, round_id: str) -> dict[str, list[Json]]:
    """The comments on each item, oldest first."""
    query = sa.select(comments).where(comments.c.round == round_id).order_by(comments.c.created, comments.c.id)
    threads: dict[str, list[Json]] = {}
    for row in connection.execute(query).mappings():
        threads.setdefault(row["item"], []).append(_comment(dict(row)))
    return threads


def _comment(row: Json) -> Json:
    return {name: row[name] for name in ("id", "author", "text", "created")}


def _agreement(
    store: ReviewStore, connection: sa.Connection, row: Json, votes: Sequence[Json], versions: Sequence[GuidelineVersion]
) -> Json:
    """How far the voters of a revealed round agree, by the rules as they were then."""
    cache = _agreements.setdefault(store, {})
    if row["id"] not in cache:
        newest = max([row["version"], *(vote["version"] for vote in votes)])
        then = [version for version in versions if version.version <= newest]
        cache[row["id"]] = summarize_agreement(read_vote_table(connection, then, row["id"]))
    return cache[row["id"]]
