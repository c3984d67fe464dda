"""Converts conversations and messages to table rows and back, and checks rows that refer to each other."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lmcraft.database import check_text
from lmcraft.errors import UserError
from lmcraft.server.conversations import validation

ROLES = ("user", "assistant")
Row = Mapping[str, Any]


def conversation_row(values: Row) -> dict[str, Any]:
    """A conversation's values as columns; missing values are left out.

    Raises:
        UserError: a value is too long, or cannot be stored.
    """
    row: dict[str, Any] = {}
    bounds = {
        "title": validation.MAX_TITLE_CHARS,
        "system": validation.MAX_CONTENT_CHARS,
        "model": validation.MAX_NAME_CHARS,
    }
    for name, max_chars in bounds.items():
        if name in values:
            row[name] = check_text(name, values[name], max_chars)
    if "pinned" in values:
        row["pinned"] = values["pinned"]
    if "settings" in values:
        row["settings"] = validation.to_json("settings", values["settings"], validation.MAX_SETTINGS_BYTES)
    return row


def message_row(values: Row) -> dict[str, Any]:
    """The columns of a message's role, content, model, details, rating and reason.

    Raises:
        UserError: a value is too long, cannot be stored or is not allowed.
    """
    role, rating = values["role"], values.get("rating", 0)
    if role not in ROLES:
        remedy = "use 'user' or 'assistant' (the system prompt is a field of the conversation)"
        raise UserError(f"role={role[:40]!a} is not supported; {remedy}")
    if rating not in (-1, 0, 1):
        raise UserError(f"rating={rating} is invalid; use 1, -1 or 0")
    if role != "assistant" and rating:
        raise UserError(f"rating={rating} is for a {role} message; only assistant messages can be rated")
    return {
        "role": role,
        "content": check_text("content", values["content"], validation.MAX_CONTENT_CHARS),
        "model": check_text("model", values.get("model", ""), validation.MAX_NAME_CHARS),
        "details": validation.to_json("details", values.get("details", {}), validation.MAX_DETAILS_BYTES),
        "rating": rating,
        "reason": check_text("reason", values.get("reason", ""), validation.MAX_REASON_CHARS),
    }


def conversation_json(row: Row) -> dict[str, Any]:
    """A conversation as clients see it, without its messages."""
    names = ("id", "title", "system", "model", "leaf", "created", "updated", "pinned")
    return {name: row[name] for name in names} | {name: json.loads(row[name]) for name in ("settings", "pair")}


def message_json(row: Row) -> dict[str, Any]:
    """A message as clients see it."""
    names = ("id", "parent", "role", "content", "model", "edited_from", "created", "rating", "reason")
    return {name: row[name] for name in names} | {"details": json.loads(row["details"])}


def check_edit(edit: Row, original: Row) -> None:
    """Raise UserError unless `edit` can be a revision of `original`."""
    if {edit["role"], original["role"]} != {"assistant"} or edit["parent"] != original["parent"]:
        raise UserError("edited_from must name an assistant message with the same parent as the edit")


def pair_column(members: Sequence[Row]) -> str:
    """The column for the two answers that are being compared, or for none.

    Raises:
        UserError: they are not two answers to one prompt.
    """
    if len(members) == 1:
        raise UserError("pair has one message; give two, or an empty list")
    if members:
        check_versions("pair", *members)
    return json.dumps([member["id"] for member in members])


def check_versions(fields: str, first: Row, second: Row) -> None:
    """Raise UserError, about these fields, unless the messages are two answers to one prompt."""
    same_prompt = all(first[name] == second[name] for name in ("conversation", "parent"))
    if first["id"] == second["id"] or not same_prompt or {first["role"], second["role"]} != {"assistant"}:
        raise UserError(f"{fields} must name two assistant messages with the same parent")
