"""Conversations from elsewhere, as rows of a store's tables under new ids."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import uuid4

from lmcraft.errors import UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.rows import check_edit, check_pick, conversation_row, message_row

Given = Mapping[str, Any]
Rows = list[dict[str, Any]]
FORMAT, VERSION = "lmcraft-conversations", 1
TITLE = 60  # characters of the first question that stand for a title


def rows_of(owner: str, given: Sequence[Given], picks: Sequence[Given]) -> tuple[Rows, Rows, Rows]:
    """The rows of conversations, messages and preferences.

    Args:
        owner: whose they will be.
        given: conversations in the form of `Store.export`; what is left out has the value of a new one.
        picks: of two answers among them.

    Raises:
        UserError: a value cannot be kept, or names a message that is not there.
    """
    now, known = time.time(), dict[str, dict[str, Any]]()
    conversations: Rows = []
    messages: Rows = []
    for place, one in enumerate(given):
        try:
            row, added = _conversation(owner, one, now, known)
        except UserError as error:
            raise UserError(f"conversations.{place}: {error}") from error
        conversations.append(row)
        messages += added
    return conversations, messages, [_pick(place, one, now, known) for place, one in enumerate(picks)]


def from_messages(spoken: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A conversation out of {"role", "content"} alone, each of which answers the one before.

    Raises:
        UserError: a system prompt that does not stand first.
    """
    system = spoken[0]["content"] if spoken and spoken[0]["role"] == "system" else ""
    said = spoken[1:] if spoken and spoken[0]["role"] == "system" else spoken
    if any(one["role"] == "system" for one in said):
        raise UserError("a system prompt stands after other messages: put it first, or leave it out")
    first = next((one["content"] for one in said if one["role"] == "user"), "")
    ids = [uuid4().hex for _ in said]
    chain = [{**one, "id": ids[n], "parent": ids[n - 1] if n else None} for n, one in enumerate(said)]
    return {"title": " ".join(first[:1000].split())[:TITLE], "system": system, "messages": chain}


def _conversation(owner: str, given: Given, now: float, known: dict[str, dict[str, Any]]) -> tuple[dict[str, Any], Rows]:
    """A conversation's row and those of its messages, which `known` gets by the ids they had."""
    spoken = given["messages"]
    if len(spoken) > validation.MESSAGES:
        raise UserError(f"it has {len(spoken):,} messages: give at most {validation.MESSAGES:,}")
    row = {"title": "", "system": "", "model": ""} | conversation_row({"settings": {}, **given})
    created = given.get("created", now)
    row |= {"id": uuid4().hex, "owner": owner, "created": created, "updated": given.get("updated", created)}
    here: dict[str, dict[str, Any]] = {}
    present = {one["id"] for one in spoken}
    for one in spoken:
        if one["id"] in here or one["id"] in known:
            raise UserError(f"the id {one['id']!a} is that of two messages: give each its own")
        here[one["id"]] = _message(one, row, here, present)
    leaf = given.get("leaf")
    row["leaf"] = _named(here, "leaf", leaf)["id"] if leaf else None
    known.update(here)
    return row, list(here.values())


def _message(
    given: Given, conversation: Given, here: Mapping[str, dict[str, Any]], present: Collection[str]
) -> dict[str, Any]:
    row = message_row(given) | {"id": uuid4().hex, "conversation": conversation["id"], "parent": None, "edited_from": None}
    row["created"] = given.get("created", conversation["created"])
    if (parent := given.get("parent")) is not None:
        row["parent"] = _named(here, "parent", parent)["id"]
    if (original := given.get("edited_from")) is not None and original not in present:
        row["edited_from"] = uuid4().hex  # it was deleted; what is left of it is that this is a person's wording
    elif original is not None:
        found = _named(here, "edited_from", original)
        row["edited_from"] = found["id"]
        check_edit(row, found)
    return row


def _pick(place: int, given: Given, now: float, known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    try:
        chosen, rejected = (_named(known, name, given[name]) for name in ("chosen", "rejected"))
        check_pick(chosen, rejected)
        reason = validation.text("reason", given.get("reason", ""), validation.REASON)
    except UserError as error:
        raise UserError(f"preferences.{place}: {error}") from error
    ids = {"id": uuid4().hex, "chosen": chosen["id"], "rejected": rejected["id"]}
    return ids | {"reason": reason, "created": given.get("created", now)}


def _named(found: Mapping[str, dict[str, Any]], field: str, name: str) -> dict[str, Any]:
    if name not in found:
        raise UserError(f"{field}={name!a} is none of the messages before it: put messages after those they name")
    return found[name]
