"""Deletes what one owner has stored, or what is older than its retention.

The rows are gone when a call returns; `lmcraft.server.privacy.purge` then removes their bytes from the files.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from lmcraft.server.conversations.store import transaction
from lmcraft.server.conversations.tables import conversations, messages, preferences, responses

ROWS_PER_TRANSACTION = 200  # conversations or responses; the server writes in between
Counts = dict[str, int]
"""Rows by the name of their table."""


def count_of_owner(engine: sa.Engine, owner: str) -> Counts:
    """How much an owner has stored."""
    with transaction(engine) as connection:
        return _count(connection, conversations.c.owner == owner, responses.c.owner == owner)


def owners_in(engine: sa.Engine) -> set[str]:
    """Everybody who has stored something."""
    with transaction(engine) as connection:
        query = sa.select(conversations.c.owner).union(sa.select(responses.c.owner))
        return set(connection.execute(query).scalars())


def delete_of_owner(engine: sa.Engine, owner: str) -> Counts:
    """Delete all conversations, ratings, preferences and responses of an owner in one transaction; returns their numbers."""
    own, own_responses = conversations.c.owner == owner, responses.c.owner == owner
    with transaction(engine.execution_options(immediate=True)) as connection:
        counts = _count(connection, own, own_responses)
        connection.execute(conversations.delete().where(own))
        connection.execute(responses.delete().where(own_responses))
    return counts


def delete_before(engine: sa.Engine, moment: float) -> Counts:
    """Delete conversations that were last changed before a moment, and responses that were made before it.

    Args:
        engine: the database.
        moment: in seconds since 1970.
    """
    writer = engine.execution_options(immediate=True)
    deleted: Counts = {}
    tables: Mapping[sa.Table, sa.Column[float]] = {
        conversations: conversations.c.updated,
        responses: responses.c.created,
    }
    for table, age in tables.items():
        while True:
            with transaction(writer) as connection:
                old = sa.select(table.c.id).where(age < moment).limit(ROWS_PER_TRANSACTION)
                ids = list(connection.execute(old).scalars())
                connection.execute(table.delete().where(table.c.id.in_(ids)))
            deleted[table.name] = deleted.get(table.name, 0) + len(ids)
            if len(ids) < ROWS_PER_TRANSACTION:
                break
    return deleted


def _count(connection: sa.Connection, own: sa.ColumnElement[bool], own_responses: sa.ColumnElement[bool]) -> Counts:
    within = sa.select(conversations.c.id).where(own)
    own_messages = messages.c.conversation.in_(within)
    own_pairs = preferences.c.chosen.in_(sa.select(messages.c.id).where(own_messages))
    conditions = {conversations: own, messages: own_messages, preferences: own_pairs, responses: own_responses}
    return {
        table.name: connection.execute(sa.select(sa.func.count()).select_from(table).where(condition)).scalar_one()
        for table, condition in conditions.items()
    }
