"""The responses that the server keeps for /v1/responses and /v1/chat/completions, each visible to its owner only.

A response holds the input items of its own request; together with the responses before it, they are the conversation.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lmcraft.database import memory_database
from lmcraft.errors import UserError
from lmcraft.server.conversations.store import NotFoundError, transaction
from lmcraft.server.conversations.tables import metadata, responses

Json = dict[str, Any]
MAX_RESPONSES = 10_000  # of each owner
MAX_STORED_BYTES = 64 * 2**20  # of each owner
MAX_MEMORY_BYTES = 128 * 2**20  # of all owners, of a store in memory
MAX_CONVERSATION_BYTES = 4 * 2**20  # that a request can continue
MAX_AGE_SECONDS = 30 * 24 * 3600.0

_ID_PATTERN = re.compile("[a-z]{1,16}[_-][0-9a-f]{32}")


@dataclass(frozen=True)
class StoredResponse:
    """A response and the input items of its request."""

    input: list[Json]
    response: Json


class ResponseStore:
    """The `responses` table of a database. Every call is one transaction, so any thread may call.

    Of each owner it keeps the newest responses, within limits of their number, their bytes and their age.

    Args:
        engine: the database.
        max_responses: the most responses of each owner.
        max_bytes: the most bytes of each owner's responses.
        max_total_bytes: the most bytes of all responses; None: no such limit.
        clock: returns seconds since 1970.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        max_responses: int = MAX_RESPONSES,
        max_bytes: int = MAX_STORED_BYTES,
        max_total_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.engine, self._writer = engine, engine.execution_options(immediate=True)
        self._max_responses, self._max_bytes, self._max_total_bytes = max_responses, max_bytes, max_total_bytes
        self._clock = clock

    @classmethod
    def in_memory(cls) -> "ResponseStore":
        """A store that ends with the process."""
        return cls(memory_database(metadata), max_total_bytes=MAX_MEMORY_BYTES)

    def add(
        self, owner: str, response: Mapping[str, Any], input_items: Sequence[Mapping[str, Any]], previous: str | None = None
    ) -> None:
        """Keep a response under its id, and delete old ones beyond the limits.

        Args:
            owner: who may read it.
            response: the response, as JSON.
            input_items: the input of its request.
            previous: id of the response that it continues.

        Raises:
            StoreError: the database failed.
        """
        texts = {"input": _to_json(input_items), "response": _to_json(response)}
        now, size = self._clock(), sum(len(text.encode()) for text in texts.values())
        row = {"id": response["id"], "owner": owner, "previous": previous, "size": size, "created": now, **texts}
        with transaction(self._writer) as connection:
            connection.execute(responses.insert().values(row))
            connection.execute(responses.delete().where(responses.c.created < now - MAX_AGE_SECONDS))
            r = responses.c
            excesses = [_excess(self._max_bytes, self._max_responses, r.owner == owner)]
            if self._max_total_bytes is not None:
                excesses.append(_excess(self._max_total_bytes, self._max_responses, sa.true()))
            for excess in excesses:
                connection.execute(responses.delete().where(r.position.in_(excess)))

    def get(self, owner: str, response: str) -> StoredResponse:
        """A response.

        Raises:
            NotFoundError: this owner has no such response.
        """
        query = sa.select(responses).where(responses.c.id == response, responses.c.owner == owner)
        with transaction(self.engine) as connection:
            row = connection.execute(query).first() if _ID_PATTERN.fullmatch(response) else None
        if row is None:
            raise NotFoundError("response", response)
        return _stored(row)

    def conversation(self, owner: str, response: str, *, whole: bool = True) -> list[StoredResponse]:
        """A response and those that it continues, oldest first.

        Args:
            owner: whose response it is.
            response: its id.
            whole: refuse a conversation whose beginning is gone; otherwise what is left of it is returned.

        Raises:
            NotFoundError: this owner has no such response, or one before it is gone.
            UserError: they are larger than `MAX_CONVERSATION_BYTES`.
        """
        if not _ID_PATTERN.fullmatch(response):
            raise NotFoundError("response", response)
        r = responses.c
        chain = sa.select(r.position, r.id, r.previous, r.size).where(r.id == response, r.owner == owner)
        chain_cte = chain.cte("chain", recursive=True)
        earlier = sa.select(r.position, r.id, r.previous, r.size).where(r.id == chain_cte.c.previous, r.owner == owner)
        chain_cte = chain_cte.union_all(earlier)
        with transaction(self.engine) as connection:
            links = connection.execute(sa.select(chain_cte).order_by(chain_cte.c.position)).all()
            if not links:
                raise NotFoundError("response", response)
            if whole and (gone := links[0].previous) is not None:
                raise NotFoundError("response", gone, continued_by=response)
            if (size := sum(link.size for link in links)) > MAX_CONVERSATION_BYTES:
                raise UserError(
                    f"the conversation up to '{response}' takes {size:,} bytes, more than {MAX_CONVERSATION_BYTES:,}; "
                    "send the part that matters as input"
                )
            positions = [link.position for link in links]
            query = sa.select(responses).where(r.position.in_(positions)).order_by(r.position)
            return [_stored(row) for row in connection.execute(query)]

    def export(self, owner: str) -> Iterator[StoredResponse]:
        """All responses of an owner, oldest first, one at a time."""
        query = sa.select(responses.c.position).where(responses.c.owner == owner).order_by(responses.c.position)
        with transaction(self.engine) as connection:
            positions = list(connection.execute(query).scalars())
        for position in positions:
            with transaction(self.engine) as connection:
                row = connection.execute(sa.select(responses).where(responses.c.position == position)).first()
            if row is not None:  # it may be deleted in the meantime
                yield _stored(row)

    def delete(self, owner: str, response: str) -> None:
        """Delete a response.

        Raises:
            NotFoundError: this owner has no such response.
        """
        statement = responses.delete().where(responses.c.id == response, responses.c.owner == owner)
        with transaction(self._writer) as connection:
            if not _ID_PATTERN.fullmatch(response) or connection.execute(statement).rowcount == 0:
                raise NotFoundError("response", response)


def _excess(max_bytes: int, max_responses: int, scope: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The positions of the oldest responses in a scope that are over its limits."""
    r = responses.c
    newest_first = r.position.desc()
    rank = sa.func.row_number().over(order_by=newest_first).label("rank")
    total = sa.func.sum(r.size).over(order_by=newest_first).label("bytes")
    ranked = sa.select(r.position, rank, total).where(scope).subquery()
    return sa.select(ranked.c.position).where((ranked.c.bytes > max_bytes) | (ranked.c.rank > max_responses))


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _stored(row: Any) -> StoredResponse:
    return StoredResponse(json.loads(row.input), json.loads(row.response))
