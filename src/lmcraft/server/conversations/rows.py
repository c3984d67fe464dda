"""What is told of a conversation or a message, and the row of the tables that keeps it; and what must hold between rows."""

import json
from collections.abc import Mapping
from typing import Any

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation

ROLES = ("user", "assistant")
Row = Mapping[str, Any]


def conversation_row(given: Row) -> dict[str, Any]:
    """The columns of those values of a conversation that are given.

    Raises:
        UserError: one is too long, or cannot be kept.
    """
    row: dict[str, Any] = {}
    for name, most in (("title", validation.TITLE), ("system", validation.CONTENT), ("model", validation.NAME)):
        if name in given:
            row[name] = validation.text(name, given[name], most)
    if "settings" in given:
        row["settings"] = validation.packed("settings", given["settings"], validation.SETTINGS)
    return row


def message_row(given: Row) -> dict[str, Any]:
    """The columns of a message's role, content, model, details, rating and reason.

    Raises:
        UserError: one is too long, cannot be kept or is not allowed.
    """
    role, rating = given["role"], given.get("rating", 0)
    if role not in ROLES:
        raise UserError(f"role={role[:40]!a} is none: give 'user' or 'assistant' (the system prompt is the conversation's)")
    if rating not in (-1, 0, 1):
        raise UserError(f"rating={rating} is none: give 1, -1 or 0")
    if role != "assistant" and rating:
        raise UserError(f"rating={rating} is of a {role}'s message: rate an answer of the assistant")
    return {
        "role": role,
        "content": validation.text("content", given["content"], validation.CONTENT),
        "model": validation.text("model", given.get("model", ""), validation.NAME),
        "details": validation.packed("details", given.get("details", {}), validation.DETAILS),
        "rating": rating,
        "reason": validation.text("reason", given.get("reason", ""), validation.REASON),
    }


def conversation_of(row: Row) -> dict[str, Any]:
    """A conversation as it is told, without its messages."""
    names = ("id", "title", "system", "model", "leaf", "created", "updated")
    return {name: row[name] for name in names} | {"settings": json.loads(row["settings"])}


def message_of(row: Row) -> dict[str, Any]:
    """A message as it is told."""
    names = ("id", "parent", "role", "content", "model", "edited_from", "created", "rating", "reason")
    return {name: row[name] for name in names} | {"details": json.loads(row["details"])}


def check_edit(edit: Row, original: Row) -> None:
    """Raise UserError unless `edit` can be a person's wording of `original`."""
    if {edit["role"], original["role"]} != {"assistant"} or edit["parent"] != original["parent"]:
        raise UserError("edited_from must name an answer of the assistant that has the same parent as its new wording")


def check_pick(chosen: Row, rejected: Row) -> None:
    """Raise UserError unless these are two answers to one prompt."""
    same = all(chosen[name] == rejected[name] for name in ("conversation", "parent"))
    if chosen["id"] == rejected["id"] or not same or {chosen["role"], rejected["role"]} != {"assistant"}:
        raise UserError("chosen and rejected must name two messages of the assistant that have the same parent")
