"""Message catalogs (.mo): the texts of a program with their translations, as gettext reads them."""

import struct
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError

SUFFIX = ".mo"


class _Catalog(GNUTranslations):
    _catalog: dict[str | tuple[str, int], str]

    def messages(self) -> dict[str | tuple[str, int], str]:
        return self._catalog


def read_catalog(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number, row) of each text and its translation, in the columns `source` and `target`.

    The header, plurals and texts in a context are left out.

    Raises:
        UserError: the file is no catalog, or damaged.
    """
    try:
        with file.open("rb") as contents:
            messages = _Catalog(contents).messages()
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise UserError(f"'{file}' is no message catalog, or is damaged ({error}): install it again") from error
    pairs = [(key, text) for key, text in messages.items() if isinstance(key, str) and key and "\x04" not in key and text]
    yield from ((n, {"source": source, "target": target}) for n, (source, target) in enumerate(pairs, start=1))
