"""What people do with an item that they hold: judge, skip, escalate, adjudicate; each once, however often it is sent."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lmcraft.annotation.answer_tests import check_answer_tests
from lmcraft.annotation.content import MAX_TEXT_CHARS, is_swapped, map_label
from lmcraft.annotation.guidelines.guideline import GuidelineVersion
from lmcraft.annotation.queue.leases import check_lease, is_token
from lmcraft.annotation.queue.reviewers import count_judged
from lmcraft.annotation.queue.states import FREE, change_item, read_item, record_change
from lmcraft.annotation.records import (
    AlreadyJudgedError,
    ConflictError,
    ItemState,
    Json,
    LeaseLostError,
    NewVerdict,
    RoundClosedError,
    Task,
    WrongStateError,
)
from lmcraft.annotation.tables import rounds, skips, verdicts
from lmcraft.database import check_text
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json

MAX_COMMENT_CHARS = 10_000
MAX_CHECKS = 50  # texts that a later answer must, or must not, contain
MAX_CHECK_CHARS = 2_000
MAX_SECONDS = 1e6
SKIPS_TO_REMOVE = 2  # after so many skips an item leaves the queue
_ID = re.compile("[0-9A-Za-z_-]{1,64}")
_COMPARED = ("item", "reviewer", "kind", "label", "rule", "comment", "correction", "contains", "excludes")
"""What two verdicts of one id must share; the time taken may differ when a client repeats."""


def check_id(value: str) -> None:
    """Check an id that a client chose.

    Raises:
        UserError: it is invalid.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UserError(f"id={str(value)[:64]!a} is invalid; use up to 64 letters, digits, '-' and '_'")


def verdict_columns(verdict: NewVerdict) -> Json:
    """A verdict's own columns.

    Raises:
        UserError: a text is too long or cannot be stored, a value is invalid, or no answer can meet what it asks for.
    """
    check_id(verdict.id)
    seconds = verdict.seconds
    if not (isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0):
        raise UserError(f"seconds={seconds!r:.64} is invalid; use a number of at least 0")
    columns: Json = {
        "id": verdict.id,
        "label": check_text("label", verdict.label, 64),
        "rule": check_text("rule", verdict.rule, 64),
        "comment": check_text("comment", verdict.comment, MAX_COMMENT_CHARS),
        "correction": check_text("correction", verdict.correction, MAX_TEXT_CHARS),
        "contains": _checks("contains", verdict.contains),
        "excludes": _checks("excludes", verdict.excludes),
        "seconds": min(float(seconds), MAX_SECONDS),
    }
    check_answer_tests(json.loads(columns["contains"]), json.loads(columns["excludes"]), verdict.correction)
    return columns


def judge_item(
    connection: sa.Connection,
    item: str,
    token: str,
    person: str,
    task: Task,
    columns: Json,
    guidelines: Mapping[str, Sequence[GuidelineVersion]],
    now: float,
) -> ItemState:
    """Record the verdict of the person who holds an item, and what follows from it.

    Args:
        connection: in a writing transaction.
        item: its id.
        token: of the claim.
        person: who judges.
        task: what the item was claimed for.
        columns: as `verdict_columns` gives them.
        guidelines: reads the versions of the item's guideline: see `ReviewStore`.
        now: seconds since 1970.

    Raises:
        NotFoundError: there is no such item.
        LeaseLostError: the person does not hold it; AlreadyJudgedError: since they have judged it.
        RoundClosedError: its calibration round was revealed.
        ConflictError: the id belongs to another verdict.
        UserError: the guideline has no such label or rule.
    """
    row = read_item(connection, item)
    versions = guidelines[row["guideline"]]
    swapped = versions[-1].kind == "preference" and is_swapped(person, item)
    new = {**columns, "item": item, "reviewer": person, "kind": task, "label": map_label(columns["label"], swapped=swapped)}
    if (stored := _stored_verdict(connection, new)) is not None:
        return stored
    _check_round(connection, row)
    _check_holder(connection, row, token, person, task)
    guideline = next(version for version in versions if version.version == row["lease_version"])
    _check_choice(guideline, columns)
    changes = _after_adjudication(new) if task == "adjudicate" else _after_review(connection, row, new, versions[-1].reviews)
    is_hidden = task == "review" and (row["expected_label"] is not None or row["round"] is not None)
    new |= {
        "guideline": row["guideline"],
        "version": guideline.version,
        "swapped": swapped,
        "is_gold": row["expected_label"] is not None,
        "round": row["round"],
        "created": now,
        "answer_state": "reviewed" if is_hidden else changes["state"],
        "answer_verdicts": 1 if is_hidden else changes.get("num_verdicts", row["num_verdicts"]),
    }
    statement = verdicts.insert().values(new).returning(verdicts.c.position)
    new["position"] = connection.execute(statement).scalar_one()
    row = change_item(connection, row, **FREE, **({} if is_hidden else changes))
    if task == "review":
        count_judged(connection, person, row)
    event = "adjudicated" if task == "adjudicate" else "verdict"
    record_change(connection, event, person, row, now, verdicts=new)
    return ItemState(item, new["answer_state"], new["answer_verdicts"])


def skip_item(
    connection: sa.Connection, item: str, token: str, person: str, task: Task, kind: str, comment: str, now: float
) -> ItemState:
    """Pass an item on to others, or, with the kind `escalate`, to the adjudicators.

    Raises:
        NotFoundError: there is no such item.
        LeaseLostError: the person does not hold it.
        UserError: an item of an open round cannot be escalated.
    """
    row = read_item(connection, item)
    if not is_token(token):
        raise LeaseLostError
    is_same = (skips.c.item == item) & (skips.c.reviewer == person) & (skips.c.token == token)
    if (stored := connection.execute(sa.select(skips).where(is_same)).first()) is not None:
        return ItemState(item, stored.answer_state, stored.answer_verdicts)
    _check_holder(connection, row, token, person, task)
    if kind == "escalate" and row["round"] is not None:
        raise WrongStateError(item, "part of an open calibration round", "judge or skip it", code="round_open")
    is_gold = row["expected_label"] is not None
    changes: Json = {}
    if kind == "escalate":
        changes = {"state": "escalated"}
    elif task == "review" and row["round"] is None and not is_gold:
        changes = {"num_skips": row["num_skips"] + 1}
        if changes["num_skips"] >= SKIPS_TO_REMOVE:
            changes["state"] = "skipped"
    new = {
        "item": item,
        "reviewer": person,
        "kind": kind,
        "task": task,
        "token": token,
        "comment": check_text("comment", comment, MAX_COMMENT_CHARS),
        "created": now,
        "answer_state": changes.get("state", row["state"]),
        "answer_verdicts": row["num_verdicts"],
    }
    connection.execute(skips.insert().values(new))
    row = change_item(connection, row, **FREE, **({} if is_gold else changes))
    if task == "review":
        count_judged(connection, person, row)
    event = "escalated" if kind == "escalate" else "skipped"
    record_change(connection, event, person, row, now, skips=new)
    return ItemState(item, new["answer_state"], new["answer_verdicts"])


def _stored_verdict(connection: sa.Connection, new: Json) -> ItemState | None:
    """The answer to a verdict that was recorded before; None if its id is new.

    Raises:
        ConflictError: it was another verdict.
    """
    stored = connection.execute(sa.select(verdicts).where(verdicts.c.id == new["id"])).mappings().first()
    if stored is None:
        return None
    if any(stored[name] != new[name] for name in _COMPARED):
        raise ConflictError("verdict", new["id"])
    return ItemState(stored["item"], stored["answer_state"], stored["answer_verdicts"])


def _check_holder(connection: sa.Connection, row: Mapping[str, Any], token: str, person: str, task: Task) -> None:
    try:
        check_lease(row, token, person, task)
    except LeaseLostError:
        v = verdicts.c
        own = sa.exists().where(v.item == row["id"], v.reviewer == person, v.kind == task)
        if connection.execute(sa.select(own)).scalar_one():
            raise AlreadyJudgedError from None
        raise


def _check_round(connection: sa.Connection, row: Mapping[str, Any]) -> None:
    if row["round"] is not None:
        state = connection.execute(sa.select(rounds.c.state).where(rounds.c.id == row["round"])).scalar()
        if state != "open":
            raise RoundClosedError


def _check_choice(guideline: GuidelineVersion, columns: Json) -> None:
    subject = f"guideline '{guideline.name}' version {guideline.version}"
    if guideline.label(columns["label"]) is None:
        names = ", ".join(label.name for label in guideline.labels)
        raise UserError(f"label={columns['label']!a} is not one of {subject}; use one of {names}", code="unknown_label")
    if guideline.rule(columns["rule"]) is None:
        ids = ", ".join(rule.id for rule in guideline.rules)
        raise UserError(f"rule={columns['rule']!a} is not one of {subject}; cite one of {ids}", code="unknown_rule")


def _after_adjudication(new: Json) -> Json:
    return {"state": "adjudicated", "label": new["label"], "rule": new["rule"], "verdict": new["id"]}


def _after_review(connection: sa.Connection, row: Json, new: Json, num_reviews: int) -> Json:
    """What one more verdict makes of an item: enough that agree settle it, enough that differ go to an adjudicator."""
    c = verdicts.c
    query = (
        sa.select(c.id, c.label, c.rule, c.correction).where(c.item == row["id"], c.kind == "review").order_by(c.position)
    )
    all_verdicts = [*connection.execute(query).mappings(), new]
    changes = {"num_verdicts": len(all_verdicts), "state": "reviewed"}
    if len(all_verdicts) < num_reviews:
        return changes
    if len({verdict["label"] for verdict in all_verdicts}) > 1:
        return changes | {"state": "disagreed"}
    final = next((verdict for verdict in all_verdicts if verdict["correction"]), all_verdicts[0])
    return changes | {"label": final["label"], "rule": final["rule"], "verdict": final["id"]}


def _checks(name: str, texts: Sequence[str]) -> str:
    if isinstance(texts, str) or len(texts) > MAX_CHECKS:
        raise UserError(f"{name} needs a list of at most {MAX_CHECKS} texts; shorten it")
    return format_json([check_text(name, text, MAX_CHECK_CHARS) for text in texts if text.strip()])
