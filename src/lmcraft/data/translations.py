"""Pairs of a text and its translation: catalogs of gettext (.mo, .po) and translation memories (.tmx).

Each reader yields (number, row) with the columns `source` and `target`. It leaves out the header, plurals, texts in a
context, and what has no translation or a doubtful one ("fuzzy").
"""

import re
import struct
from collections.abc import Iterator
from gettext import GNUTranslations
from typing import Any, BinaryIO
from xml.etree import ElementTree

from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError

_MESSAGE = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[\d+\])?)\s+"(.*)"\s*$')
_CONTINUED = re.compile(r'\s*"(.*)"\s*$')
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "", "a": "", "b": "", "f": "\n", "v": "\n"}
MO = ".mo"  # binary
NumberedRow = tuple[int, dict[str, Any]]


class _Catalog(GNUTranslations):
    _catalog: dict[str | tuple[str, int], str]

    def messages(self) -> dict[str | tuple[str, int], str]:
        return self._catalog


def mo_rows(file: BinaryIO, name: str) -> Iterator[NumberedRow]:
    """The pairs of a compiled catalog.

    Raises:
        UserError: the file is no catalog, or damaged.
    """
    try:
        messages = _Catalog(file).messages()
    except (OSError, ValueError, LookupError, struct.error) as error:
        raise UserError(f"'{name}' is no message catalog, or is damaged ({error}): install it again") from error
    yield from _number((key, text) for key, text in messages.items() if isinstance(key, str) and "\x04" not in key)


def po_rows(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[NumberedRow]:
    """The pairs of a catalog as translators edit it, in UTF-8.

    Raises:
        UserError: the file has no messages at all.
    """
    text = stats.clean(file.read().decode("utf-8-sig", "surrogateescape"))
    entries = list(po_entries(text))
    if not entries:
        raise UserError(f"'{name}' has no messages (lines that begin with msgid): give a catalog of gettext")
    yield from _number(
        (entry.get("msgid", ""), entry.get("msgstr", ""))
        for entry in entries
        if entry.keys().isdisjoint(("fuzzy", "msgctxt", "msgid_plural"))
    )


def tmx_rows(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[NumberedRow]:
    """The first two languages of each unit of a translation memory (TMX 1.4b), without the marks of formatting in them.

    Raises:
        UserError: the file is not XML, or has no units.
    """
    try:
        root = ElementTree.parse(file, ElementTree.XMLParser(encoding="utf-8")).getroot()  # as sources decode files
    except ElementTree.ParseError as error:
        raise UserError(f"'{name}' is no translation memory, or is damaged ({error}): export it again") from error
    units = list(root.iter("tu"))
    if not units:
        raise UserError(f"'{name}' has no units (elements tu): give a translation memory in TMX")
    segments = ([stats.clean(" ".join(_plain_text(segment).split())) for segment in unit.iter("seg")] for unit in units)
    yield from _number((texts[0], texts[1]) for texts in segments if len(texts) > 1)


def _plain_text(element: ElementTree.Element) -> str:
    """The text of a segment, and what follows each mark of formatting in it; what is in the marks is code, but for `hi`."""
    return (element.text or "") + "".join(
        ((child.text or "") if child.tag == "hi" else "") + (child.tail or "") for child in element
    )


def _number(pairs: Iterator[tuple[str, str]]) -> Iterator[NumberedRow]:
    translated = (pair for pair in pairs if pair[0] and pair[1].strip())
    yield from ((n, {"source": source, "target": target}) for n, (source, target) in enumerate(translated, start=1))


def po_entries(text: str) -> Iterator[dict[str, str]]:
    """The fields of each entry of a .po file; "fuzzy" is among those of a doubtful one."""
    fields: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if line.startswith("#"):
            if line.startswith("#,") and "fuzzy" in line:
                if "msgid" in fields:
                    yield fields
                    fields, current = {}, ""
                fields["fuzzy"] = "yes"
        elif match := _MESSAGE.match(line):
            if match[1] in ("msgid", "msgctxt") and any(name.startswith("msgstr") for name in fields):
                yield fields
                fields = {}
            current = match[1]
            fields[current] = _unescape(match[2])
        elif current and (match := _CONTINUED.match(line)):
            fields[current] += _unescape(match[1])
        elif not line.strip() and any(name.startswith("msgstr") for name in fields):
            yield fields
            fields, current = {}, ""
    if "msgid" in fields:
        yield fields


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES.get(match[1], match[1]), text)


TABLES = {".po": po_rows, ".tmx": tmx_rows}  # texts; a .mo file has no encoding that could be detected
