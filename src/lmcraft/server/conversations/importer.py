"""Imported conversations as rows of the store's tables, under new ids."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from lmcraft.database import check_text
from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.rows import check_edit, check_versions, conversation_row, message_row, pair_column

Json = Mapping[str, Any]
Row = dict[str, Any]
FORMAT, VERSION = "lmcraft-conversations", 1
TITLE_CHARS = 60  # of the first question, which becomes the title


def import_rows(
    owner: str, conversations: Sequence[Json], preferences: Sequence[Json]
) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows of conversations, messages and preferences.

    Args:
        owner: who will own them.
        conversations: in the form of `Store.export`; missing values get the defaults of a new conversation.
        preferences: between answers in these conversations.

    Raises:
        UserError: a value cannot be stored, or refers to a message that is not there.
    """
    now, rows_by_old_id = time.time(), dict[str, Row]()
    conversation_rows: list[Row] = []
    message_rows: list[Row] = []
    for n, conversation in enumerate(conversations):
        try:
            row, rows = _import_conversation(owner, conversation, now, rows_by_old_id)
        except UserError as error:
            raise _located(error, "conversations", n) from error
        conversation_rows.append(row)
        message_rows += rows
    preference_rows = [_import_preference(n, values, now, rows_by_old_id) for n, values in enumerate(preferences)]
    return conversation_rows, message_rows, preference_rows


def from_transcript(transcript: Sequence[Mapping[str, str]]) -> Row:
    """A conversation made of {"role", "content"} messages, each of which follows the one before.

    Raises:
        UserError: a system prompt is not the first message.
    """
    has_system = bool(transcript) and transcript[0]["role"] == "system"
    system, messages = (transcript[0]["content"], transcript[1:]) if has_system else ("", transcript)
    if any(message["role"] == "system" for message in messages):
        raise UserError("a system prompt follows other messages; put it first, or remove it", code="system_not_first")
    question = next((message["content"] for message in messages if message["role"] == "user"), "")
    title = cut_title(question)
    ids = [uuid4().hex for _ in messages]
    chain = [{**message, "id": ids[n], "parent": ids[n - 1] if n else None} for n, message in enumerate(messages)]
    return {"title": title, "system": system, "messages": chain}


def cut_title(text: str) -> str:
    """The beginning of a text as a title, cut between two words if it has several."""
    line = " ".join(text[:1000].split())
    if len(line) <= TITLE_CHARS:
        return line
    head, _, _ = line[: TITLE_CHARS + 1].rpartition(" ")
    return (head or line[:TITLE_CHARS]) + "…"


def _import_conversation(
    owner: str, conversation: Json, now: float, rows_by_old_id: dict[str, Row]
) -> tuple[Row, list[Row]]:
    """A conversation's row and its messages' rows, which are also added to `rows_by_old_id`."""
    messages = conversation["messages"]
    if len(messages) > validation.MAX_MESSAGES:
        message = f"it has {len(messages):,} messages; give at most {validation.MAX_MESSAGES:,}"
        raise UserError(message, code="conversation_full", values={"max": validation.MAX_MESSAGES})
    row = {"title": "", "system": "", "model": "", "pinned": False} | conversation_row({"settings": {}, **conversation})
    created = conversation.get("created", now)
    row |= {"id": uuid4().hex, "owner": owner, "created": created, "updated": conversation.get("updated", created)}
    message_rows: dict[str, Row] = {}
    old_ids = {message["id"] for message in messages}
    for message in messages:
        if message["id"] in message_rows or message["id"] in rows_by_old_id:
            message_text = f"two messages have the id {message['id']!a}; give each its own"
            raise UserError(message_text, code="repeated_message_id")
        message_rows[message["id"]] = _import_message(message, row, message_rows, old_ids)
    leaf = conversation.get("leaf")
    row["leaf"] = _look_up(message_rows, "leaf", leaf)["id"] if leaf else None
    pair = [_look_up(message_rows, "pair", old_id) for old_id in conversation.get("pair", [])]
    row["pair"] = pair_column(pair)
    rows_by_old_id.update(message_rows)
    return row, list(message_rows.values())


def _import_message(message: Json, conversation: Json, earlier_rows: Mapping[str, Row], old_ids: Collection[str]) -> Row:
    row = message_row(message)
    row |= {"id": uuid4().hex, "conversation": conversation["id"], "parent": None, "edited_from": None}
    row["created"] = message.get("created", conversation["created"])
    if (parent := message.get("parent")) is not None:
        row["parent"] = _look_up(earlier_rows, "parent", parent)["id"]
    if (original := message.get("edited_from")) is not None and original not in old_ids:
        row["edited_from"] = uuid4().hex  # the original was deleted, but the message still counts as a user's edit
    elif original is not None:
        original_row = _look_up(earlier_rows, "edited_from", original)
        row["edited_from"] = original_row["id"]
        check_edit(row, original_row)
    return row


def _import_preference(n: int, preference: Json, now: float, rows_by_old_id: Mapping[str, Row]) -> Row:
    try:
        chosen, rejected = (_look_up(rows_by_old_id, name, preference[name]) for name in ("chosen", "rejected"))
        check_versions("chosen and rejected", chosen, rejected)
        reason = check_text("reason", preference.get("reason", ""), validation.MAX_REASON_CHARS)
    except UserError as error:
        raise _located(error, "preferences", n) from error
    ids = {"id": uuid4().hex, "chosen": chosen["id"], "rejected": rejected["id"]}
    return ids | {"reason": reason, "created": preference.get("created", now)}


def _located(error: UserError, part: str, n: int) -> UserError:
    """The error with the place in the file."""
    return UserError(f"{part}.{n}: {error}", code=error.code, values={**error.values, "number": n + 1})


def _look_up(rows: Mapping[str, Row], field: str, old_id: str) -> Row:
    if old_id not in rows:
        message = f"{field}={old_id!a} is not an earlier message; put each message after those it refers to"
        raise UserError(message, code="unknown_message", values={"field": field})
    return rows[old_id]
