"""The store: conversations, their messages, ratings and preferences, each visible to its owner only.

A conversation is a tree of messages; alternative answers are siblings. Every call is one transaction on its own
connection, so any thread may call. Another owner's id is reported as missing, exactly like one that never existed.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from lmcraft.database import check_text, close_database, display_name, error_text, open_database
from lmcraft.errors import RunError, UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.importer import import_rows
from lmcraft.server.conversations.rows import (
    check_edit,
    check_versions,
    conversation_json,
    conversation_row,
    message_json,
    message_row,
    pair_column,
)
from lmcraft.server.conversations.tables import SCHEMA, conversations, messages, preferences, version

Json = dict[str, Any]
SUMMARY_COLUMNS = [conversations.c[name] for name in ("id", "title", "created", "updated", "model", "pinned")]


class StoreError(RunError):
    """The database failed."""


class NotFoundError(UserError):
    """This owner has no such conversation, message or response."""

    def __init__(self, kind: str, id_: str, *, continued_by: str = "") -> None:
        clause = f", which {continued_by!a} continues" if continued_by else ""
        message = f"there is no {kind} {id_[:64]!a} here{clause}; it may have been deleted"
        super().__init__(message, code="not_found", values={"kind": kind})


class ConflictError(UserError):
    """The id that a client chose already belongs to something else."""

    def __init__(self, kind: str, id_: str) -> None:
        super().__init__(f"id={id_!a} belongs to another {kind}, or to this one with other content; choose another id")


class Store:
    """A database of conversations; open one with `Store.open`."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name, self.engine = name, engine
        with transaction(engine) as connection:
            self.id: str = connection.execute(sa.select(version.c.id)).scalar_one()
        self._writer = engine.execution_options(immediate=True)

    @classmethod
    def open(cls, location: str | Path, *, create: bool = True) -> "Store":
        """Open a store in a file (SQLite), or at a URL such as postgresql://USER@HOST/NAME.

        Args:
            location: the file or URL.
            create: create the file if it does not exist.

        Raises:
            UserError: it is damaged, is not a store, was made by a newer lmcraft, or cannot be reached.
        """
        engine = open_database(str(location), SCHEMA, create=create)
        return cls(engine, display_name(engine.url))

    def close(self) -> None:
        """Merge what SQLite keeps beside its file into it, and close all connections."""
        close_database(self.engine)

    def owners(self) -> list[str]:
        """All owners of conversations."""
        with transaction(self.engine) as connection:
            rows = connection.execute(sa.select(conversations.c.owner).distinct().order_by(conversations.c.owner))
            return list(rows.scalars())

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> tuple[list[Json], bool]:
        """A page of conversations, newest first, and whether there are more. Conversations with the same time share a page.
        The first page begins with all pinned ones.

        Args:
            owner: whose conversations.
            search: text that occurs in the title or in a message, ignoring case.
            limit: size of the page.
            before: only conversations that were updated before this time.
        """
        c = conversations.c
        query = sa.select(*SUMMARY_COLUMNS).where(c.owner == owner)
        if search:
            text = check_text("search", search, validation.MAX_SEARCH_CHARS)
            within = (messages.c.conversation == c.id) & messages.c.content.icontains(text, autoescape=True)
            query = query.where(c.title.icontains(text, autoescape=True) | sa.exists().where(within))
        query = query.order_by(c.updated.desc(), c.id)
        pinned, query = query.where(c.pinned), query.where(~c.pinned)
        if before is not None:
            query = query.where(c.updated < before)
        with transaction(self.engine) as connection:
            pinned_rows = list(connection.execute(pinned)) if before is None else []
            rows = list(connection.execute(query.limit(limit + 1)))
            has_more = len(rows) > limit
            if has_more and rows[-1].updated == (last := rows[limit - 1].updated):
                rows = [row for row in rows if row.updated > last] + list(connection.execute(query.where(c.updated == last)))
                has_more = connection.execute(query.where(c.updated < last).limit(1)).first() is not None
            elif has_more:
                rows.pop()
        return [row._asdict() for row in pinned_rows + rows], has_more

    def create(
        self,
        owner: str,
        *,
        id: str | None = None,
        title: str = "",
        system: str = "",
        model: str = "",
        settings: Mapping[str, Any] | None = None,
    ) -> Json:
        """Create a conversation. With an id that the client chose, a repetition changes nothing and returns the same.

        Raises:
            ConflictError: the id belongs to another conversation, or this one has been changed.
            UserError: a value is too long, or cannot be stored.
        """
        row = conversation_row({"title": title, "system": system, "model": model, "settings": settings or {}})
        row |= {"id": uuid4().hex if id is None else validation.check_id(id), "owner": owner}
        with transaction(self._writer) as connection:
            if _stored(connection, conversations, row, "conversation") is None:
                row |= {"created": (now := time.time()), "updated": now, "leaf": None, "pair": "[]", "pinned": False}
                connection.execute(conversations.insert().values(row))
        return self.get(owner, row["id"])

    def get(self, owner: str, conversation: str) -> Json:
        """A conversation with its messages, oldest first.

        Raises:
            NotFoundError: this owner has no such conversation.
        """
        return self.get_with_preferences(owner, conversation)[0]

    def get_with_preferences(self, owner: str, conversation: str) -> tuple[Json, list[Json]]:
        """A conversation with its messages, and the preferences between them.

        Raises:
            NotFoundError: this owner has no such conversation.
        """
        m, p = messages.c, preferences.c
        with transaction(self.engine) as connection:
            row = _conversation(connection, owner, conversation)
            rows = connection.execute(sa.select(messages).where(m.conversation == conversation).order_by(m.position)).all()
            preference_rows = connection.execute(
                sa.select(preferences)
                .join(messages, m.id == p.chosen)
                .where(m.conversation == conversation)
                .order_by(p.created, p.id)
            ).all()
        messages_json = [message_json(message._asdict()) for message in rows]
        return conversation_json(row) | {"messages": messages_json}, [preference._asdict() for preference in preference_rows]

    def change(self, owner: str, conversation: str, changes: Mapping[str, Any]) -> Json:
        """Change a conversation's title, system, model, settings, pin, leaf or pair; returns it without its messages.

        Raises:
            NotFoundError: this owner has no such conversation, or the conversation no such message.
            UserError: a value is too long, or cannot be stored.
        """
        row = conversation_row(changes)
        with transaction(self._writer) as connection:
            _conversation(connection, owner, conversation)
            if "leaf" in changes:
                row["leaf"] = _message_in(connection, conversation, changes["leaf"])["id"]
            if "pair" in changes:
                row["pair"] = pair_column([_message_in(connection, conversation, message) for message in changes["pair"]])
            if set(row) - {"leaf", "pair", "pinned"}:  # these do not change what the conversation says
                row["updated"] = time.time()
            if row:
                connection.execute(conversations.update().where(conversations.c.id == conversation).values(row))
            return conversation_json(_conversation(connection, owner, conversation))

    def delete(self, owner: str, conversation: str) -> None:
        """Delete a conversation and everything in it.

        Raises:
            NotFoundError: this owner has no such conversation.
        """
        with transaction(self._writer) as connection:
            _conversation(connection, owner, conversation)
            connection.execute(conversations.delete().where(conversations.c.id == conversation))

    def add(
        self,
        owner: str,
        conversation: str,
        *,
        id: str | None = None,
        role: str,
        content: str,
        parent: str | None,
        model: str = "",
        edited_from: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Json:
        """Add a message; it becomes the leaf. With an id that the client chose, a repetition changes nothing and returns it.

        Raises:
            NotFoundError: this owner has no such conversation, or the conversation no such message.
            ConflictError: the id belongs to another message.
            UserError: a value is too long or cannot be stored, or the conversation is full.
        """
        row = message_row({"role": role, "content": content, "model": model, "details": details or {}})
        row |= {"id": uuid4().hex if id is None else validation.check_id(id), "conversation": conversation}
        row |= {"parent": parent, "edited_from": edited_from}
        with transaction(self._writer) as connection:
            _conversation(connection, owner, conversation)
            original = {name: value for name, value in row.items() if name not in ("rating", "reason")}
            if stored := _stored(connection, messages, original, "message"):
                return message_json(stored)
            row["created"] = time.time()
            count = sa.select(sa.func.count()).where(messages.c.conversation == conversation)
            if connection.execute(count).scalar_one() >= validation.MAX_MESSAGES:
                message = f"the conversation has {validation.MAX_MESSAGES:,} messages, the maximum; start another"
                raise UserError(message, code="conversation_full", values={"max": validation.MAX_MESSAGES})
            if parent is not None:
                _message_in(connection, conversation, parent)
            if edited_from is not None:
                check_edit(row, _message_in(connection, conversation, edited_from))
            connection.execute(messages.insert().values(row))
            changes = {"updated": row["created"], "leaf": row["id"]}
            connection.execute(conversations.update().where(conversations.c.id == conversation).values(changes))
        return message_json(row)

    def delete_message(self, owner: str, message: str) -> None:
        """Delete a message and all its descendants.

        Raises:
            NotFoundError: this owner has no such message.
        """
        m, c = messages.c, conversations.c
        with transaction(self._writer) as connection:
            row = _message(connection, owner, message)
            branch = sa.select(m.id).where(m.id == message).cte("branch", recursive=True)
            branch = branch.union_all(sa.select(m.id).where(m.parent == branch.c.id))
            deleted_ids = sa.select(branch.c.id)
            leaf_is_deleted = (c.id == row["conversation"]) & c.leaf.in_(deleted_ids)
            connection.execute(conversations.update().where(leaf_is_deleted).values(leaf=row["parent"]))
            connection.execute(conversations.update().where(c.id == row["conversation"]).values(updated=time.time()))
            pair = json.loads(_conversation(connection, owner, row["conversation"])["pair"])
            if connection.execute(deleted_ids.where(branch.c.id.in_(pair))).first():
                connection.execute(conversations.update().where(c.id == row["conversation"]).values(pair="[]"))
            connection.execute(messages.delete().where(m.id.in_(deleted_ids)))

    def rate(self, owner: str, message: str, rating: int, reason: str = "") -> Json:
        """Rate an answer: 1 good, -1 bad, 0 no rating; returns the message.

        Raises:
            NotFoundError: this owner has no such message.
            UserError: the message is not an answer, or a value is not allowed.
        """
        with transaction(self._writer) as connection:
            row = _message(connection, owner, message)
            checked = message_row({"role": row["role"], "content": "", "rating": rating, "reason": reason})
            changes = {"rating": checked["rating"], "reason": checked["reason"]}
            connection.execute(messages.update().where(messages.c.id == message).values(changes))
        return message_json({**row, **changes})

    def prefer(self, owner: str, chosen: str, rejected: str, reason: str = "") -> Json:
        """Record which of two answers to one prompt is better; it replaces an earlier preference between the two.

        Raises:
            NotFoundError: this owner has no such message.
            UserError: they are not two answers to one prompt.
        """
        row = {"id": uuid4().hex, "chosen": chosen, "rejected": rejected, "created": time.time()}
        row["reason"] = check_text("reason", reason, validation.MAX_REASON_CHARS)
        p = preferences.c
        with transaction(self._writer) as connection:
            answers = _message(connection, owner, chosen), _message(connection, owner, rejected)
            check_versions("chosen and rejected", *answers)
            pair = p.chosen.in_([chosen, rejected]) & p.rejected.in_([chosen, rejected])
            connection.execute(preferences.delete().where(pair))
            connection.execute(preferences.insert().values(row))
        return row

    def delete_preference(self, owner: str, preference: str) -> None:
        """Delete a preference; the answers stay.

        Raises:
            NotFoundError: this owner has no such preference.
        """
        p, m, c = preferences.c, messages.c, conversations.c
        owned = sa.select(p.id).join(messages, m.id == p.chosen).join(conversations, c.id == m.conversation)
        with transaction(self._writer) as connection:
            _row(connection, owned.where(p.id == preference, c.owner == owner), "preference", preference)
            connection.execute(preferences.delete().where(p.id == preference))

    def export(self, owner: str) -> Iterator[tuple[Json, list[Json]]]:
        """Each conversation of an owner with its messages, and the preferences in it; one at a time, oldest first."""
        c = conversations.c
        with transaction(self.engine) as connection:
            ids = connection.execute(sa.select(c.id).where(c.owner == owner).order_by(c.created, c.id)).scalars().all()
        for conversation in ids:
            try:
                yield self.get_with_preferences(owner, conversation)
            except NotFoundError:
                continue  # deleted in the meantime

    def load(
        self, owner: str, imported: Sequence[Mapping[str, Any]], imported_preferences: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """Add conversations in the form that `export` returns, under new ids: all of them, or none.

        Returns:
            The number of conversations.

        Raises:
            UserError: one of them cannot be stored.
        """
        rows_by_table = import_rows(owner, imported, imported_preferences)
        with transaction(self._writer) as connection:
            for table, rows in zip((conversations, messages, preferences), rows_by_table, strict=True):
                if rows:
                    connection.execute(table.insert(), rows)
        return len(imported)


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction of the database.

    Raises:
        StoreError: it failed.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
        raise StoreError(f"the store failed ({error_text(error)}); this change was not saved, try again") from error


def _conversation(connection: sa.Connection, owner: str, conversation: str) -> Json:
    c = conversations.c
    query = sa.select(conversations).where(c.id == conversation, c.owner == owner)
    return _row(connection, query, "conversation", conversation)


def _stored(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any], kind: str) -> Json | None:
    """The row of a table with the id of `row`, or None.

    Raises:
        ConflictError: it differs from `row`.
    """
    match = connection.execute(sa.select(table).where(table.c.id == row["id"])).first()
    stored = None if match is None else match._asdict()
    if stored is not None and any(stored[name] != value for name, value in row.items()):
        raise ConflictError(kind, row["id"])
    return stored


def _message(connection: sa.Connection, owner: str, message: str) -> Json:
    m, c = messages.c, conversations.c
    query = sa.select(messages).join(conversations, c.id == m.conversation).where(m.id == message, c.owner == owner)
    return _row(connection, query, "message", message)


def _message_in(connection: sa.Connection, conversation: str, message: str) -> Json:
    m = messages.c
    query = sa.select(messages).where(m.id == message, m.conversation == conversation)
    return _row(connection, query, "message", message)


def _row(connection: sa.Connection, query: sa.Select[Any], kind: str, id_: str) -> Json:
    row = connection.execute(query).first() if validation.is_id(id_) else None
    if row is None:
        raise NotFoundError(kind, id_)
    return row._asdict()
