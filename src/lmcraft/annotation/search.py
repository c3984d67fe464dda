"""Items whose texts contain something, in any case.

There is no index of the texts: people search for whatever they remember, in any language, also for a part of a word. So a
search looks through the first items of the list, which fills a page if what is searched for is frequent, and only then
through all texts in the order in which they are stored. In PostgreSQL its locale decides which letters have a case.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from lmcraft.annotation.records import Json
from lmcraft.annotation.tables import contents, items
from lmcraft.json_lines import format_json

FIRST_ITEMS = 1_000


def search_items(
    connection: sa.Connection,
    search: str,
    conditions: Sequence[sa.ColumnElement[bool]],
    order: Sequence[sa.ColumnElement[object]],
    limit: int,
) -> list[Json]:
    """The rows of the first items whose texts contain `search`, or whose id it is.

    Args:
        connection: in a transaction.
        search: the text, which may have any characters that can be stored.
        conditions: on `items`, which must hold, too.
        order: of the items.
        limit: most rows to read.
    """
    c = items.c
    contains = _contains(search, is_sqlite=connection.dialect.name == "sqlite")
    first = sa.select(c.position).where(*conditions).order_by(*order).limit(FIRST_ITEMS).subquery()
    frequent = c.position.in_(sa.select(first.c.position)) & sa.exists().where(contents.c.item == c.id, contains)
    rare = c.id.in_(sa.select(contents.c.item).where(contains)) | (c.id == search.strip().lower())
    rows: list[Json] = []
    for condition in (frequent, rare):
        query = sa.select(items).where(*conditions, condition).order_by(*order).limit(limit)
        rows = [dict(row) for row in connection.execute(query).mappings()]
        if len(rows) == limit:
            break
    return rows


def _contains(search: str, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether the JSON of an item's texts contains a text in any case."""
    text = format_json(search)[1:-1]
    for character in "/%_":
        text = text.replace(character, f"/{character}")
    pattern, content = f"%{text}%", contents.c.content
    # SQLite ignores the case of ASCII by itself, ten times as fast as Python's `lower`, which other letters need.
    has_case = any(not character.isascii() and character.lower() != character.upper() for character in text)
    return content.ilike(pattern, escape="/") if has_case or not is_sqlite else content.like(pattern, escape="/")
