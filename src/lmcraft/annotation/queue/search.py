"""Items whose texts contain something, in any case.

There is no index of the texts: people search for whatever they remember, in any language, also for a part of a word. So a
search looks through the first items of the list, which fills a page if what is searched for is frequent, and only then
through all texts in the order in which they are stored. In PostgreSQL its locale decides which letters have a case.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from lmcraft.annotation.guidelines.guideline import SUBJECTS
from lmcraft.annotation.records import Json
from lmcraft.annotation.tables import contents, items
from lmcraft.json_lines import format_json

FIRST_ITEMS = 1_000
ROLES = ("user", "assistant", "system", "tool")
STRUCTURE = (*SUBJECTS, *ROLES, "subject", "role", "content", "messages", "answers", ": [{", ": [], ", "}, {", "}], ", "]}")
"""What the JSON of a content has outside of its texts, between the quotation marks."""
ESCAPED = '\\"\n\t\r\b\f'
"""Characters that JSON writes with a backslash; the backslash first, so that the others are then unmistakable."""


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
    """Whether an item's texts contain a text in any case."""
    text, content = format_json(search)[1:-1], contents.c.content
    # SQLite ignores the case of ASCII by itself, ten times as fast as Python's `lower`, which other letters need.
    has_case = any(not character.isascii() and character.lower() != character.upper() for character in text)

    def matches(column: sa.ColumnElement[str], part: str) -> sa.ColumnElement[bool]:
        for character in "/%_":
            part = part.replace(character, f"/{character}")
        compare = column.ilike if has_case or not is_sqlite else column.like
        return compare(f"%{part}%", escape="/")

    # Few searches can match something else of the JSON than a text: "role", or the n of a line break.
    if search.lower().startswith(tuple('"\\ntrbf')) or any(search.lower() in part for part in STRUCTURE):
        return matches(content, text) & matches(_texts(), _unescape(text))
    return matches(content, text)


def _texts() -> sa.ColumnElement[str]:
    """The texts of a content, each in a line, as `_unescape` has them, without roles of the usual names."""
    texts: sa.ColumnElement[str] = contents.c.content
    for number, character in enumerate(ESCAPED, 1):
        texts = sa.func.replace(texts, format_json(character)[1:-1], chr(number))
    texts = texts + "\n"
    parts = [f'{{"subject": "{subject}", "messages": [' for subject in SUBJECTS]
    parts += [
        '{"role": "',
        '", "content": "',
        '], "answers": ["',
        '", "',
        '"]}\n',
        *(f"\n{role}\n" for role in ROLES),
        '"}, \n',
        '"}\n',
    ]
    for part in parts:
        texts = sa.func.replace(texts, part, "\n")
    return texts


def _unescape(text: str) -> str:
    """JSON of a text, with a control character for each of `ESCAPED`."""
    for number, character in enumerate(ESCAPED, 1):
        text = text.replace(format_json(character)[1:-1], chr(number))
    return text
