"""Reading the store: lists of items, one item with all that is known about it, counts, votes, and settled items."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import history
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.queue.search import search_items
from lmcraft.annotation.queue.states import read_item
from lmcraft.annotation.records import SOURCES, STATES, ItemSummary, Json, SettledItem, Vote
from lmcraft.annotation.tables import IS_HELD, buckets, contents, items, reports, rounds, verdicts
from lmcraft.database import check_text
from lmcraft.errors import UserError

MAX_LIMIT = 1000
MAX_SEARCH_CHARS = 200
HIDDEN_EVENTS = ("verdict", "skipped", "escalated")
"""Events of an item that nobody may see while its calibration round is open."""


def find_items(
    connection: sa.Connection,
    *,
    state: str,
    guideline: str,
    source: str,
    search: str,
    limit: int,
    after: str,
    now: float,
) -> tuple[list[ItemSummary], str]:
    """A page of items, those of highest priority first, and where the next page begins; see `ReviewStore.find`."""
    c = items.c
    conditions: list[sa.ColumnElement[bool]] = []
    if state == "claimed":
        held = sa.select(c.position).where(IS_HELD, c.lease_expires > now).correlate(None)
        conditions.append(c.position.in_(held))  # few, found by their own index
    elif state:
        conditions.append(c.state == _known("state", state, (*STATES, "claimed")))
    if guideline:
        conditions.append(c.guideline == check_text("guideline", guideline, MAX_SEARCH_CHARS))
    if source:
        conditions.append(c.source == _known("source", source, SOURCES))
    if after:
        priority, position = _parse_cursor(after)
        conditions.append((c.priority < priority) | ((c.priority == priority) & (c.position > position)))
    if not 1 <= limit <= MAX_LIMIT:
        raise UserError(f"limit={limit} is invalid; use 1 to {MAX_LIMIT}")
    order = (c.priority.desc(), c.position)
    if search:
        rows = search_items(connection, check_text("search", search, MAX_SEARCH_CHARS), conditions, order, limit + 1)
    else:
        query = sa.select(items).where(*conditions).order_by(*order).limit(limit + 1)
        rows = [dict(row) for row in connection.execute(query).mappings()]
    hidden = _open_rounds(connection)
    summaries = [summarize(row, now, is_hidden=row["round"] in hidden) for row in rows[:limit]]
    last = rows[limit - 1] if len(rows) > limit else None
    return summaries, "" if last is None else f"{last['priority']!r}:{last['position']}"


def summarize(row: Mapping[str, Any], now: float, *, is_hidden: bool = False) -> ItemSummary:
    """A row of the list.

    Args:
        row: of `items`.
        now: seconds since 1970.
        is_hidden: whether votes are not to be seen, since the item's round is open.
    """
    values = {name: row[name] for name in ItemSummary.__dataclass_fields__ if name != "is_gold"}
    is_held = bool(row["holder"]) and row["lease_expires"] > now
    values |= {} if is_held else {"holder": "", "lease_expires": 0.0}
    values |= {"num_verdicts": 0} if is_hidden else {}
    return ItemSummary(**values, is_gold=row["expected_label"] is not None)


def read_full_item(connection: sa.Connection, item: str, guideline: GuidelineVersion, now: float) -> Json:
    """Everything about an item; see `ReviewStore.get`."""
    row = read_item(connection, item)
    content = connection.execute(sa.select(contents).where(contents.c.item == item)).one()
    is_hidden = row["round"] in _open_rounds(connection)
    records = [record._asdict() for record in history(connection, item)]
    for record in records:
        record["payload"] = json.loads(record["payload"])
    summary = vars(summarize(row, now, is_hidden=is_hidden))
    claim = {"holder": summary["holder"], "expires": summary["lease_expires"], "task": row["lease_task"]}
    return {
        **summary,
        "version": guideline.version,
        "kind": guideline.kind,
        "sensitive": guideline.sensitive,
        "content": json.loads(content.content),
        "decision": json.loads(content.decision),
        "origin": json.loads(content.origin),
        "rule": row["rule"],
        "expected": {"label": row["expected_label"], "rule": row["expected_rule"]} if summary["is_gold"] else None,
        "claim": claim if summary["holder"] else None,
        "reports": read_reports(connection, item),
        "verdicts": [] if is_hidden else _verdicts(connection, [row])[item],
        "history": [record for record in records if not is_hidden or record["event"] not in HIDDEN_EVENTS],
    }


def count_items(connection: sa.Connection, guideline: str, now: float) -> dict[str, int]:
    """The number of items by state; see `ReviewStore.counts`."""
    b, c = buckets.c, items.c
    of_guideline = (b.guideline == guideline) if guideline else sa.true()
    query = sa.select(b.state, b.queue, sa.func.sum(b.size)).where(of_guideline).group_by(b.state, b.queue)
    numbers = dict.fromkeys((*STATES, "gold"), 0)
    for state, queue, number in connection.execute(query):
        numbers["gold" if queue == "gold" else state] += int(number)
    held = IS_HELD & (c.lease_expires > now) & ((c.guideline == guideline) if guideline else sa.true())
    claimed = connection.execute(sa.select(sa.func.count()).where(held)).scalar_one()
    return {**numbers, "claimed": int(claimed), "total": sum(numbers.values())}


def read_votes(connection: sa.Connection, guideline: str) -> list[Vote]:
    """Every verdict of reviewers under a guideline but those of open calibration rounds, oldest first."""
    v, c = verdicts.c, items.c
    adjudication = verdicts.alias().c
    adjudicated = sa.select(adjudication.label).where(adjudication.item == v.item, adjudication.kind == "adjudicate")
    columns = (
        v.item, v.reviewer, v.label, v.rule, v.version, v.seconds, v.created, c.expected_label.label("expected"),
        v.round, adjudicated.limit(1).scalar_subquery().label("adjudicated_label"),
    )  # fmt: skip
    is_visible = v.round.is_(None) | v.round.not_in(_open_rounds(connection))
    query = sa.select(*columns).join(items, c.id == v.item).where(v.guideline == guideline, v.kind == "review", is_visible)
    rows = connection.execute(query.order_by(v.position))
    return [Vote(**row._asdict(), is_gold=row.expected is not None) for row in rows]


def settled_items(
    connection: sa.Connection,
    guideline: str,
    after: int,
    limit: int,
    versions: Mapping[str, Sequence[GuidelineVersion]],
) -> tuple[list[SettledItem], int | None]:
    """Items with a final verdict in the order in which they were added, and the position to go on after; None: the end.

    Args:
        connection: in a transaction.
        guideline: whose; empty: of all.
        after: position of the last item of the call before.
        limit: most items to read.
        versions: reads the versions of a guideline by its name.
    """
    c = items.c
    has_verdict = c.label.is_not(None) & (c.state != "erased")
    is_settled = has_verdict & c.expected_label.is_(None) & (c.position > after)
    query = sa.select(items).where(is_settled).order_by(c.position).limit(limit)
    page = [dict(row) for row in connection.execute(query).mappings()]
    # Chosen here: the database would sort all items of the guideline for each page.
    rows = [row for row in page if guideline in ("", row["guideline"])]
    ids = [row["id"] for row in rows]
    texts = {row.item: row for row in connection.execute(sa.select(contents).where(contents.c.item.in_(ids)))}
    all_verdicts = _verdicts(connection, rows)
    settled = [_settled_item(row, texts[row["id"]], all_verdicts[row["id"]], versions[row["guideline"]]) for row in rows]
    return settled, page[-1]["position"] if page else None


def _settled_item(row: Json, texts: Any, item_verdicts: list[Json], versions: Sequence[GuidelineVersion]) -> SettledItem:
    content = json.loads(texts.content)
    final = next(verdict for verdict in item_verdicts if verdict["final"])
    version = next(version for version in versions if version.version == final["version"])
    label = version.label(row["label"])
    assert label is not None
    agreeing = [verdict for verdict in item_verdicts if verdict["label"] == row["label"]]
    is_adjudicated = final["task"] == "adjudicate"
    sources = [final] if is_adjudicated else agreeing
    return SettledItem(
        id=row["id"],
        guideline=row["guideline"],
        kind=version.kind,
        source=row["source"],
        subject=row["subject"],
        messages=content["messages"],
        answers=content["answers"],
        label=row["label"],
        outcome=label.outcome,
        rule=row["rule"],
        version=final["version"],
        correction=final["correction"],
        contains=list(dict.fromkeys(text for verdict in sources for text in verdict["contains"])),
        excludes=list(dict.fromkeys(text for verdict in sources for text in verdict["excludes"])),
        verdict=row["verdict"],
        verdicts=item_verdicts,
        is_adjudicated=is_adjudicated,
        origin=json.loads(texts.origin),
        traffic=row["traffic"],
    )


def _verdicts(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Json]]:
    """The verdicts of items, by item, oldest first."""
    finals = {row["id"]: row["verdict"] for row in rows}
    by_item: dict[str, list[Json]] = {item: [] for item in finals}
    query = sa.select(verdicts).where(verdicts.c.item.in_(list(finals))).order_by(verdicts.c.position)
    kept = ("id", "reviewer", "label", "rule", "comment", "correction", "version", "seconds", "created", "round")
    for row in connection.execute(query).mappings():
        values = {name: row[name] for name in kept} | {"task": row["kind"], "final": row["id"] == finals[row["item"]]}
        values |= {name: json.loads(row[name]) for name in ("contains", "excludes")}
        by_item[row["item"]].append(values)
    return by_item


def read_reports(connection: sa.Connection, item: str) -> list[Json]:
    """What users reported about an item, oldest first, without names."""
    c = reports.c
    query = sa.select(c.reason, c.comment, c.created).where(c.item == item).order_by(c.created, c.reporter)
    return [dict(row) for row in connection.execute(query).mappings()]


def _open_rounds(connection: sa.Connection) -> set[str]:
    return set(connection.execute(sa.select(rounds.c.id).where(rounds.c.state == "open")).scalars())


def _known(name: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise UserError(f"{name}={value[:64]!a} is unknown; use one of {', '.join(allowed)}")
    return value


def _parse_cursor(after: str) -> tuple[float, int]:
    match = re.fullmatch(r"(\d{1,3}(?:\.\d{1,20})?(?:e-\d{1,3})?):(\d{1,18})", after, re.ASCII)
    if match is None:
        raise UserError(f"after={after[:64]!a} is invalid; use the `next` of the page before")
    return float(match[1]), int(match[2])
