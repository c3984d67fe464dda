"""The fields of a row by their usual names, and their values as text."""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from math import isfinite
from typing import Any

from lmcraft.data.formats import lookup
from lmcraft.data.missing import describe_empty, is_empty
from lmcraft.data.value_kinds import describe_value
from lmcraft.errors import UserError

SURROGATE = re.compile("[\ud800-\udfff]")


def as_text(value: Any, name: str) -> str:
    """A field's value as text. Numbers are written as in JSON, and whole ones without ".0", since tables with empty cells
    store 1 as 1.0.

    Raises:
        UserError: it is neither text nor a number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float | Decimal) and isfinite(value):
        return str(int(value)) if value == int(value) else str(value)
    raise UserError(f"its {name} is {'null' if value is None else describe_value(value)}, not text: write it as text")


def parse_json(value: Any) -> Any:
    """A value that may be written as JSON in a text, as in CSV files; texts that are not JSON stay as they are."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


class Fields:
    """A row's fields. Their names are compared without case and surrounding spaces.

    Args:
        row: names and values.
        columns: the column that holds a field, by the field's name; `a.b` is a field of an object.
        replaced: for each of these fields, the usual names that no longer count.

    Raises:
        UserError: the row has no such column, or it holds half of a character.
    """

    def __init__(
        self,
        row: Mapping[str, Any],
        columns: Mapping[str, str] | None = None,
        replaced: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        if any(SURROGATE.search(text) for text in _texts(row)):
            raise UserError("it contains half of a character (a lone surrogate such as \\ud83d): write the text again")
        self.names = [" ".join(str(name).split()) for name in row]
        self._values = {str(name).strip().casefold(): value for name, value in row.items()}
        self._read: set[str] = set()
        for field, column in (columns or {}).items():
            try:
                value = lookup(row, column)
            except KeyError as error:
                raise UserError(f"it has no column '{column}': its columns are {', '.join(self.names)}") from error
            for name in (replaced or {}).get(field, ()):
                self._values.pop(name, None)
            self._values.pop(column.partition(".")[0].strip().casefold(), None)
            self._values[field] = value

    def has(self, names: Collection[str]) -> bool:
        """Whether the row has one of these columns, even if it is empty in this row."""
        return not self._values.keys().isdisjoint(names)

    def find(self, names: Sequence[str]) -> Any:
        """The value under one of these names; None if there is none, or only empty ones.

        Raises:
            UserError: several names have different values.
        """
        self._read.update(names)
        present = {name: self._values[name] for name in names if not is_empty(self._values.get(name))}
        if not present:
            return None
        first, *others = present.values()
        if any(other != first for other in others):
            raise UserError(
                f"its columns {' and '.join(present)} have the same meaning, but differ: rename one, or name the right one "
                "with --prompt-column or --answer-column"
            )
        return first

    def describe_empty(self, names: Sequence[str]) -> str:
        """What the first of these columns holds instead of a value, to follow "is"."""
        return describe_empty(next((self._values[name] for name in names if name in self._values), None))

    def unread(self) -> list[str]:
        """The names of the columns that hold something, but that nothing has read."""
        return [
            name
            for name, value in self._values.items()
            if name and name not in self._read and not is_empty(value) and value != []
        ]


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            if not value.isascii():
                yield value
        case Mapping():
            for key, item in value.items():
                yield from _texts(key)
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
