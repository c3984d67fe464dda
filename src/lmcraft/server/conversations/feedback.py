"""What the users of a key said about answers: ratings, picks and edits, and how often each model was picked."""

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from lmcraft.server.conversations.store import Store, transaction
from lmcraft.server.conversations.tables import conversations, messages, preferences
from lmcraft.statistics.proportions import proportion

Json = dict[str, Any]
KINDS = ("rating", "pick", "edit")
EXCERPT_CHARS = 300  # of each text in the list
CHOSEN, REJECTED, PROMPT = messages.alias(), messages.alias(), messages.alias()


def count_feedback(store: Store, owner: str) -> Json:
    """How many answers were rated good and bad, how many picks and edits there are, and how often each model was picked.

    `models` has one entry for each two models that were compared: {first, second, picked_first, picked_second, share, low,
    high}; share is the proportion of picks of `first`, with its 95% interval (null for a single pick).
    """
    c, m = conversations.c, messages.c
    with transaction(store.engine) as connection:
        is_owned = (m.conversation == c.id) & (c.owner == owner)
        rated = sa.select(m.rating, sa.func.count().label("number")).where(is_owned, m.rating != 0).group_by(m.rating)
        ratings = {row.rating: row.number for row in connection.execute(rated)}
        edits = connection.execute(sa.select(sa.func.count()).where(is_owned, m.edited_from.is_not(None))).scalar_one()
        picked = sa.select(CHOSEN.c.model, REJECTED.c.model, sa.func.count()).select_from(_picks())
        grouped = picked.where(c.owner == owner).group_by(CHOSEN.c.model, REJECTED.c.model)
        picks = {(chosen, rejected): count for chosen, rejected, count in connection.execute(grouped)}
    pairs = sorted({(min(pair), max(pair)) for pair in picks})
    counts = {"good": ratings.get(1, 0), "bad": ratings.get(-1, 0), "picks": sum(picks.values()), "edits": edits}
    return counts | {"models": [_compare(first, second, picks) for first, second in pairs]}


def list_feedback(store: Store, owner: str, *, kind: str = "", limit: int = 50, offset: int = 0) -> tuple[list[Json], bool]:
    """A page of the feedback, newest first, and whether there is more.

    Each item has its kind, conversation, time and reason, and excerpts of the question (`prompt`) and of the answers: of a
    rating, `answer` and `rating`; of a pick, `answer` and the `other` one; of an edit, the `answer` that the user wrote
    and the `other` that the model had written, if it still exists.

    Args:
        store: the store.
        owner: whose feedback.
        kind: one of `KINDS`; empty: all.
        limit: size of the page.
        offset: how many items are on the pages before it.
    """
    items: list[Json] = []
    with transaction(store.engine) as connection:
        for name in KINDS if not kind else (kind,):
            query, convert = _QUERIES[name]
            newest = query.where(conversations.c.owner == owner).limit(offset + limit + 1)
            items += [{"kind": name, **convert(row._asdict())} for row in connection.execute(newest)]
    items.sort(key=lambda item: (-item["created"], item["id"]))
    return items[offset : offset + limit], len(items) > offset + limit


def _compare(first: str, second: str, picks: dict[tuple[str, str], int]) -> Json:
    picked_first = picks.get((first, second), 0)
    picked_second = picks.get((second, first), 0) if first != second else 0
    share = proportion(picked_first, picked_first + picked_second) if first != second else None
    return {
        "first": first,
        "second": second,
        "picked_first": picked_first,
        "picked_second": picked_second,
        "share": share and share.value,
        "low": share and share.low,
        "high": share and share.high,
    }


def _picks() -> sa.FromClause:
    picks = preferences.join(CHOSEN, CHOSEN.c.id == preferences.c.chosen).join(
        REJECTED, REJECTED.c.id == preferences.c.rejected
    )
    return picks.join(conversations, conversations.c.id == CHOSEN.c.conversation)


def _excerpts(**texts: sa.ColumnElement[Any]) -> Iterator[sa.ColumnElement[Any]]:
    return (sa.func.substr(text, 1, EXCERPT_CHARS).label(name) for name, text in texts.items())


def _select(answer: sa.FromClause, joined: sa.FromClause, other: sa.FromClause | None, *columns: Any) -> sa.Select[Any]:
    """The columns that all kinds share, and `columns`."""
    texts = {"prompt": PROMPT.c.content, "answer": answer.c.content} | ({} if other is None else {"other": other.c.content})
    head = [conversations.c.id.label("conversation"), conversations.c.title, answer.c.model]
    source = joined.outerjoin(PROMPT, PROMPT.c.id == answer.c.parent)
    return sa.select(*head, *columns, *_excerpts(**texts)).select_from(source)


def _with_conversation(answer: sa.FromClause) -> sa.Join:
    return answer.join(conversations, conversations.c.id == answer.c.conversation)


def _build_queries() -> dict[str, tuple[sa.Select[Any], Callable[[Json], Json]]]:
    """The query of each kind, newest first, and what completes its rows."""
    answer = CHOSEN.c
    fields = [answer.id, answer.created, answer.reason]
    rated = _select(CHOSEN, _with_conversation(CHOSEN), None, *fields, answer.rating).where(answer.rating != 0)
    with_original = _with_conversation(CHOSEN).outerjoin(REJECTED, REJECTED.c.id == answer.edited_from)
    edited = _select(CHOSEN, with_original, REJECTED, *fields).where(answer.edited_from.is_not(None))
    p = preferences.c
    picked = _select(CHOSEN, _picks(), REJECTED, p.id, p.created, p.reason, REJECTED.c.model.label("other_model"))
    return {
        "rating": (rated.order_by(answer.created.desc(), answer.id), dict),
        "pick": (picked.order_by(p.created.desc(), p.id), dict),
        "edit": (edited.order_by(answer.created.desc(), answer.id), dict),
    }


_QUERIES = _build_queries()
