"""Adding items, all or none: the same content under the same guideline is one item, whose traffic goes up."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.agreement.gold import check_expected
from lmcraft.annotation.audit_log.log import append_many
from lmcraft.annotation.content import MAX_TRAFFIC, Content, check_content
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.queue.priority import priority_of
from lmcraft.annotation.queue.reviewers import forget_gold
from lmcraft.annotation.queue.senders import add_senders
from lmcraft.annotation.queue.states import FREE, audited_columns, bucket_of, change_item, grow_bucket
from lmcraft.annotation.records import Added, Json, NewItem
from lmcraft.annotation.tables import contents, items

ROWS_PER_STATEMENT = 500


def add_items(
    connection: sa.Connection, new: Sequence[NewItem], actor: str, guidelines: Mapping[str, GuidelineVersion], now: float
) -> Added:
    """Add items.

    Args:
        connection: in a writing transaction.
        new: the items; several may have the same content.
        actor: who adds them.
        guidelines: the current version of each guideline that they name.
        now: seconds since 1970.

    Raises:
        UserError: an item is invalid.
    """
    checked = [(item, check_content(item, guidelines[item.guideline])) for item in new]
    rows: dict[str, Json] = {}
    texts: dict[str, Json] = {}
    for item, content in checked:
        if item.expected is not None:
            check_expected(item.expected, guidelines[item.guideline])
        row = _row(item, content, now)
        rows[content.id] = _merge(rows[content.id], row) if content.id in rows else row
        texts.setdefault(content.id, _texts(content))
    stored = {row["id"]: row for row in _read_items(connection, list(rows))}
    added = [row for item, row in rows.items() if item not in stored]
    _insert(connection, added, texts)
    ids = [content.id for _, content in checked]
    sent = zip(ids, (item.sender for item, _ in checked), strict=True)
    add_senders(connection, [(item, sender) for item, sender in sent if sender is not None])
    entries = [("item_added", actor, row["id"], {"items": audited_columns(row)}) for row in added]
    repeated = {item: rows[item] for item in stored}
    for item, row in repeated.items():
        is_erased = stored[item]["state"] == "erased"
        changed = (
            _restore(connection, stored[item], row, texts[item])
            if is_erased
            else _raise_traffic(connection, stored[item], row)
        )
        if audited_columns(changed) != audited_columns(stored[item]):
            entries.append(("item_added", actor, item, {"items": audited_columns(changed)}))
    if repeated:
        traffic = {item: row["traffic"] for item, row in repeated.items()}
        entries.append(("traffic_added", actor, "", {"traffic": traffic}))
    append_many(connection, entries, now)
    return Added(len(added), len(new) - len(added), ids)


def _row(item: NewItem, content: Content, now: float) -> Json:
    expected = item.expected
    row = {
        **FREE,
        "id": content.id,
        "content_sha256": content.sha256,
        "guideline": item.guideline,
        "subject": item.subject,
        "source": item.source,
        "excerpt": content.excerpt,
        "severity": float(item.severity),
        "uncertainty": float(item.uncertainty),
        "traffic": item.traffic,
        "is_reported": item.source == "report",
        "state": "pending",
        "num_verdicts": 0,
        "num_skips": 0,
        "label": None,
        "rule": None,
        "verdict": None,
        "expected_label": expected.label if expected else None,
        "expected_rule": expected.rule if expected else None,
        "round": None,
        "created": now,
    }
    return row | {"priority": _priority(row)}


def _texts(content: Content) -> Json:
    return {"item": content.id, "content": content.text, "decision": content.decision, "origin": content.origin}


def _priority(row: Mapping[str, Any]) -> float:
    return priority_of(
        severity=row["severity"],
        uncertainty=row["uncertainty"],
        traffic=row["traffic"],
        is_reported=row["is_reported"],
    )


def _merge(row: Mapping[str, Any], again: Mapping[str, Any]) -> Json:
    """A row after the same content has come again."""
    merged = {
        **row,
        "severity": max(row["severity"], again["severity"]),
        "uncertainty": max(row["uncertainty"], again["uncertainty"]),
        "traffic": min(row["traffic"] + again["traffic"], MAX_TRAFFIC),
        "is_reported": row["is_reported"] or again["is_reported"],
    }
    is_untouched = (row["state"], row["num_verdicts"], row["num_skips"], row["round"]) == ("pending", 0, 0, None)
    if again["expected_label"] is not None and (row["expected_label"] is not None or (is_untouched and not row["holder"])):
        merged |= {name: again[name] for name in ("expected_label", "expected_rule")}
    return merged | {"priority": _priority(merged)}


def _raise_traffic(connection: sa.Connection, row: Json, again: Json) -> Json:
    merged = _merge(row, again)
    if row["expected_label"] is None and merged["expected_label"] is not None:
        forget_gold(connection, row["guideline"])
        return change_item(connection, row, **merged)  # into another bucket
    changes = {name: value for name, value in merged.items() if value != row[name]}
    connection.execute(items.update().where(items.c.position == row["position"]).values(changes))
    return merged


def _restore(connection: sa.Connection, row: Json, again: Json, texts: Json) -> Json:
    """Put the texts of an item back that were erased, since they have come again. Its verdicts still count."""
    connection.execute(contents.update().where(contents.c.item == row["id"]).values(texts))
    values = {name: again[name] for name in ("excerpt", "source", "created")}
    merged = _merge(row, again) | values | {"state": "reviewed" if row["num_verdicts"] else "pending"}
    return change_item(connection, row, **merged)


def _insert(connection: sa.Connection, rows: Sequence[Json], texts: Mapping[str, Json]) -> None:
    sizes: dict[int, int] = {}
    known_buckets: dict[tuple[str, bool], int] = {}
    for row in rows:
        group = row["guideline"], row["expected_label"] is not None
        if group not in known_buckets:
            known_buckets[group] = bucket_of(connection, row, [])
        row["bucket"] = known_buckets[group]
        sizes[row["bucket"]] = sizes.get(row["bucket"], 0) + 1
    for bucket, size in sizes.items():
        grow_bucket(connection, bucket, size)
    for start in range(0, len(rows), ROWS_PER_STATEMENT):
        batch = rows[start : start + ROWS_PER_STATEMENT]
        connection.execute(items.insert(), batch)
        connection.execute(contents.insert(), [texts[row["id"]] for row in batch])


def _read_items(connection: sa.Connection, ids: Sequence[str]) -> Iterator[Json]:
    for start in range(0, len(ids), ROWS_PER_STATEMENT):
        batch = ids[start : start + ROWS_PER_STATEMENT]
        for row in connection.execute(sa.select(items).where(items.c.id.in_(batch))).mappings():
            yield dict(row)
