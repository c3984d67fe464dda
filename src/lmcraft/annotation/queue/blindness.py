"""What a person may see of an item: who may still review it sees no verdict, and who adjudicates it sees no name."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import sqlalchemy as sa

from lmcraft.annotation.queue.leases import letters_of
from lmcraft.annotation.queue.queries import HIDDEN_EVENTS
from lmcraft.annotation.queue.states import queue_of
from lmcraft.annotation.records import Json, Role
from lmcraft.annotation.store import ReviewStore
from lmcraft.annotation.tables import items, skips, verdicts

Sight = Literal["blind", "letters", "names"]
"""No verdicts; verdicts whose reviewers are letters; everything."""
PERSONAL_EVENTS = (*HIDDEN_EVENTS, "adjudicated")
GOLD_NAMES = ("expected_label", "expected_rule", "is_gold")


def read_sights(store: ReviewStore, person: str, role: Role, ids: Collection[str]) -> dict[str, Sight]:
    """What a person may see of items, by id.

    Args:
        store: has them.
        person: who looks.
        role: of the person.
        ids: of the items.

    Raises:
        StoreError: the database failed.
    """
    c = items.c
    with store.reading() as (connection, _):
        rows = connection.execute(
            sa.select(c.id, c.state, c.label, c.round, c.expected_label).where(c.id.in_(ids))
        ).mappings()
        sights = [dict(row) for row in rows]
        done = sa.select(verdicts.c.item).where(verdicts.c.reviewer == person, verdicts.c.item.in_(ids))
        done_or_skipped = done.union(sa.select(skips.c.item).where(skips.c.reviewer == person, skips.c.item.in_(ids)))
        known_to_person = set(connection.execute(done_or_skipped).scalars())
    return {row["id"]: sight_of(row, role, is_done=row["id"] in known_to_person) for row in sights}


def sight_of(row: Mapping[str, Any], role: Role, *, is_done: bool) -> Sight:
    """What a person may see of an item.

    Args:
        row: of `items`: state, label, round, expected_label.
        role: of the person.
        is_done: whether they have judged, skipped or escalated it.
    """
    is_gold = row["expected_label"] is not None
    is_reviewed_now = queue_of(row) in ("review", "gold", "round")
    if (is_gold and role != "owner") or (is_reviewed_now and not is_done):
        return "blind"  # a gold item never settles, so that its verdicts would tell it apart
    if row["label"] is not None or (row["round"] is not None and row["state"] == "reviewed"):
        return "names"  # settled, or of a round that was revealed
    return "names" if role == "owner" and not is_reviewed_now and row["state"] != "skipped" else "letters"


def without_names(details: Json) -> Json:
    """An item, as `ReviewStore.get` gives it, with letters for those who judged it: those of an adjudicator's claim.

    The hashes of its history go too: whoever knows all names could find the one that fits.
    """
    people = [verdict["reviewer"] for verdict in details["verdicts"]]
    people += [record["actor"] for record in details["history"] if record["event"] in PERSONAL_EVENTS]
    letters = {person: letters_of(index) for index, person in enumerate(dict.fromkeys(people))}
    history = []
    for record in details["history"]:
        kept = {name: value for name, value in record.items() if name not in ("hash", "previous")}
        if record["event"] in PERSONAL_EVENTS:
            kept |= {"actor": letters[record["actor"]], "payload": _renamed(record["payload"], letters)}
        history.append(kept)
    named = [{**verdict, "reviewer": letters[verdict["reviewer"]]} for verdict in details["verdicts"]]
    return {**details, "verdicts": named, "history": history}


def without_gold(details: Json) -> Json:
    """An item without what tells whether it is a gold item."""
    history = [
        {**{name: value for name, value in record.items() if name not in ("hash", "previous")},
         "payload": _without_keys(record["payload"], GOLD_NAMES)}
        for record in details["history"]
    ]  # fmt: skip
    return {**details, "is_gold": None, "expected": None, "history": history}


def _renamed(payload: Mapping[str, Any], letters: Mapping[str, str]) -> Json:
    return {
        table: {**values, "reviewer": letters.get(values["reviewer"], "")}
        if isinstance(values, Mapping) and "reviewer" in values
        else values
        for table, values in payload.items()
    }


def _without_keys(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_keys(part, names) for name, part in value.items() if name not in names}
    return [_without_keys(part, names) for part in value] if isinstance(value, list) else value
