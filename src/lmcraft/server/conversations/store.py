"""Conversations, their messages and what people said of them, each seen by its owner alone.

A conversation is a tree of messages, so branches are siblings. Every call is a transaction on a connection of its own, so
any thread may make it. Ids of another owner are as absent as those that never were.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from lmcraft.errors import RunError, UserError
from lmcraft.server.conversations import validation
from lmcraft.server.conversations.importer import rows_of
from lmcraft.server.conversations.rows import (
    check_edit,
    check_pick,
    conversation_of,
    conversation_row,
    message_of,
    message_row,
)
from lmcraft.server.conversations.tables import conversations, messages, open_database, preferences, said

Json = dict[str, Any]
LISTED = [conversations.c[name] for name in ("id", "title", "created", "updated", "model")]


class AbsentError(UserError):
    """There is no such conversation or message of this owner."""

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"there is no {what} {name[:64]!a} here: it may have been deleted")


class Store:
    """A database of conversations; make one with `Store.open`."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self.name = name
        self._engine = engine
        self._writer = engine.execution_options(immediate=True)

    @classmethod
    def open(cls, where: str | Path, *, create: bool = True) -> "Store":
        """The store in a file (SQLite), or at an address such as postgresql://USER@HOST/NAME.

        Args:
            where: the file or address.
            create: make the file if there is none.

        Raises:
            UserError: it is damaged, something else's or of a newer lmcraft, or cannot be reached.
        """
        engine = open_database(str(where), create=create)
        sqlite = engine.dialect.name == "sqlite"
        return cls(engine, str(engine.url.database) if sqlite else engine.url.render_as_string(hide_password=True))

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def owners(self) -> list[str]:
        """Everyone who has conversations."""
        with self._transaction(self._engine) as connection:
            found = connection.execute(sa.select(conversations.c.owner).distinct().order_by(conversations.c.owner))
            return list(found.scalars())

    def find(self, owner: str, *, search: str = "", limit: int = 50, before: float | None = None) -> tuple[list[Json], bool]:
        """Conversations, the latest first, and whether there are more; those of one instant are never parted.

        Args:
            owner: whose.
            search: what their title or a message has, in any case.
            limit: how many.
            before: those that were updated earlier.
        """
        c = conversations.c
        query = sa.select(*LISTED).where(c.owner == owner)
        if search:
            text = validation.text("search", search, validation.SEARCH)
            within = (messages.c.conversation == c.id) & messages.c.content.icontains(text, autoescape=True)
            query = query.where(c.title.icontains(text, autoescape=True) | sa.exists().where(within))
        if before is not None:
            query = query.where(c.updated < before)
        query = query.order_by(c.updated.desc(), c.id)
        with self._transaction(self._engine) as connection:
            rows = list(connection.execute(query.limit(limit + 1)))
            more = len(rows) > limit
            if more and rows[-1].updated == (last := rows[limit - 1].updated):
                rows = [row for row in rows if row.updated > last] + list(connection.execute(query.where(c.updated == last)))
                more = connection.execute(query.where(c.updated < last).limit(1)).first() is not None
            elif more:
                rows.pop()
        return [row._asdict() for row in rows], more

    def create(
        self, owner: str, *, title: str = "", system: str = "", model: str = "", settings: Mapping[str, Any] | None = None
    ) -> Json:
        """A new conversation.

        Raises:
            UserError: a value is too long, or cannot be kept.
        """
        row = conversation_row({"title": title, "system": system, "model": model, "settings": settings or {}})
        row |= {"id": uuid4().hex, "owner": owner, "created": (now := time.time()), "updated": now, "leaf": None}
        with self._transaction(self._writer) as connection:
            connection.execute(conversations.insert().values(row))
        return conversation_of(row) | {"messages": []}

    def get(self, owner: str, conversation: str) -> Json:
        """A conversation with its messages, the oldest first.

        Raises:
            AbsentError: this owner has no such conversation.
        """
        return self.get_with_preferences(owner, conversation)[0]

    def get_with_preferences(self, owner: str, conversation: str) -> tuple[Json, list[Json]]:
        """A conversation with its messages, and the picks among them.

        Raises:
            AbsentError: this owner has no such conversation.
        """
        m, p = messages.c, preferences.c
        with self._transaction(self._engine) as connection:
            found = _owned(connection, owner, conversation)
            rows = connection.execute(sa.select(messages).where(m.conversation == conversation).order_by(m.position)).all()
            picks = connection.execute(
                sa.select(preferences)
                .join(messages, m.id == p.chosen)
                .where(m.conversation == conversation)
                .order_by(p.created, p.id)
            ).all()
        whole = conversation_of(found) | {"messages": [message_of(row._asdict()) for row in rows]}
        return whole, [row._asdict() for row in picks]

    def change(self, owner: str, conversation: str, changes: Mapping[str, Any]) -> Json:
        """Set a conversation's title, system, model, settings or leaf; the conversation without its messages.

        Raises:
            AbsentError: this owner has no such conversation, or it no such message.
            UserError: a value is too long, or cannot be kept.
        """
        row = conversation_row(changes)
        with self._transaction(self._writer) as connection:
            _owned(connection, owner, conversation)
            if "leaf" in changes:
                row["leaf"] = _within(connection, conversation, changes["leaf"])["id"]
            if set(row) - {"leaf"}:  # to look at another branch is no change
                row["updated"] = time.time()
            if row:
                connection.execute(conversations.update().where(conversations.c.id == conversation).values(row))
            return conversation_of(_owned(connection, owner, conversation))

    def delete(self, owner: str, conversation: str) -> None:
        """Delete a conversation and all that is in it.

        Raises:
            AbsentError: this owner has no such conversation.
        """
        with self._transaction(self._writer) as connection:
            _owned(connection, owner, conversation)
            connection.execute(conversations.delete().where(conversations.c.id == conversation))

    def add(
        self,
        owner: str,
        conversation: str,
        *,
        role: str,
        content: str,
        parent: str | None,
        model: str = "",
        edited_from: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> Json:
        """A new message, which becomes the one shown last.

        Raises:
            AbsentError: this owner has no such conversation, or it no such message.
            UserError: a value is too long or cannot be kept, or the conversation is full.
        """
        row = message_row({"role": role, "content": content, "model": model, "details": details or {}})
        row |= {"id": uuid4().hex, "conversation": conversation, "parent": parent, "edited_from": edited_from}
        row["created"] = time.time()
        with self._transaction(self._writer) as connection:
            _owned(connection, owner, conversation)
            of_it = messages.c.conversation == conversation
            if connection.execute(sa.select(sa.func.count()).where(of_it)).scalar_one() >= validation.MESSAGES:
                raise UserError(
                    f"the conversation has {validation.MESSAGES:,} messages, the most that one can: begin another"
                )
            if parent is not None:
                _within(connection, conversation, parent)
            if edited_from is not None:
                check_edit(row, _within(connection, conversation, edited_from))
            connection.execute(messages.insert().values(row))
            changed = {"updated": row["created"], "leaf": row["id"]}
            connection.execute(conversations.update().where(conversations.c.id == conversation).values(changed))
        return message_of(row)

    def delete_message(self, owner: str, message: str) -> None:
        """Delete a message and what hangs on it.

        Raises:
            AbsentError: this owner has no such message.
        """
        m, c = messages.c, conversations.c
        with self._transaction(self._writer) as connection:
            row = _owned_message(connection, owner, message)
            branch = sa.select(m.id).where(m.id == message).cte("branch", recursive=True)
            branch = branch.union_all(sa.select(m.id).where(m.parent == branch.c.id))
            gone = sa.select(branch.c.id)
            shown = (c.id == row["conversation"]) & c.leaf.in_(gone)
            connection.execute(conversations.update().where(shown).values(leaf=row["parent"]))
            connection.execute(conversations.update().where(c.id == row["conversation"]).values(updated=time.time()))
            connection.execute(messages.delete().where(m.id.in_(gone)))

    def rate(self, owner: str, message: str, rating: int, reason: str = "") -> Json:
        """Say that an answer is good (1), bad (-1) or neither (0), and why; the message.

        Raises:
            AbsentError: this owner has no such message.
            UserError: it is nobody's answer, or a value is not allowed.
        """
        with self._transaction(self._writer) as connection:
            found = _owned_message(connection, owner, message)
            row = message_row({"role": found["role"], "content": "", "rating": rating, "reason": reason})
            row = {"rating": row["rating"], "reason": row["reason"]}
            connection.execute(messages.update().where(messages.c.id == message).values(row))
        return message_of({**found, **row})

    def prefer(self, owner: str, chosen: str, rejected: str, reason: str = "") -> Json:
        """Say which of two answers to one prompt is better; a new pick of the same two replaces the old one.

        Raises:
            AbsentError: this owner has no such message.
            UserError: they are not two answers to one prompt.
        """
        row = {"id": uuid4().hex, "chosen": chosen, "rejected": rejected, "created": time.time()}
        row["reason"] = validation.text("reason", reason, validation.REASON)
        p = preferences.c
        with self._transaction(self._writer) as connection:
            check_pick(_owned_message(connection, owner, chosen), _owned_message(connection, owner, rejected))
            pair = p.chosen.in_([chosen, rejected]) & p.rejected.in_([chosen, rejected])
            connection.execute(preferences.delete().where(pair))
            connection.execute(preferences.insert().values(row))
        return row

    def export(self, owner: str) -> Iterator[tuple[Json, list[Json]]]:
        """Every conversation of an owner with its messages, and the picks in it, one at a time, the oldest first."""
        c = conversations.c
        with self._transaction(self._engine) as connection:
            ids = connection.execute(sa.select(c.id).where(c.owner == owner).order_by(c.created, c.id)).scalars().all()
        for conversation in ids:
            try:
                yield self.get_with_preferences(owner, conversation)
            except AbsentError:
                continue  # deleted meanwhile

    def load(self, owner: str, given: Sequence[Mapping[str, Any]], picks: Sequence[Mapping[str, Any]] = ()) -> int:
        """Add conversations in the form that `export` gives, under new ids: all of them, or none.

        Raises:
            UserError: one of them cannot be kept.
        """
        rows = rows_of(owner, given, picks)
        with self._transaction(self._writer) as connection:
            for table, added in zip((conversations, messages, preferences), rows, strict=True):
                if added:
                    connection.execute(table.insert(), added)
        return len(given)

    @contextmanager
    def _transaction(self, engine: sa.Engine) -> Iterator[sa.Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise RunError(f"the store did not answer ({said(error)}): nothing of this was kept; try again") from error


def _owned(connection: sa.Connection, owner: str, conversation: str) -> Json:
    c = conversations.c
    query = sa.select(conversations).where(c.id == conversation, c.owner == owner)
    return _row(connection, query, "conversation", conversation)


def _owned_message(connection: sa.Connection, owner: str, message: str) -> Json:
    m, c = messages.c, conversations.c
    query = sa.select(messages).join(conversations, c.id == m.conversation).where(m.id == message, c.owner == owner)
    return _row(connection, query, "message", message)


def _within(connection: sa.Connection, conversation: str, message: str) -> Json:
    m = messages.c
    query = sa.select(messages).where(m.id == message, m.conversation == conversation)
    return _row(connection, query, "message", message)


def _row(connection: sa.Connection, query: sa.Select[Any], what: str, name: str) -> Json:
    row = connection.execute(query).first() if validation.is_id(name) else None
    if row is None:
        raise AbsentError(what, name)
    return row._asdict()
