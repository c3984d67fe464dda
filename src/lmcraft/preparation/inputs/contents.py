"""Readers of the contents of a file, or of a range of it, by format: each yields passages, in the order of the file."""

import codecs
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from lmcraft.data import formats
from lmcraft.data.documents import ReadStats
from lmcraft.data.separated_values import read_layout, read_rows
from lmcraft.json_lines import parse_json
from lmcraft.preparation.inputs import warc
from lmcraft.preparation.inputs.html import text_of_page
from lmcraft.preparation.inputs.manual_pages import text_of_manual_page
from lmcraft.preparation.inputs.markup import text_of_messages, text_of_rst
from lmcraft.preparation.inputs.poison import MAX_PAGE_BYTES, MAX_WHOLE_BYTES, PoisonError
from lmcraft.preparation.inputs.ranges import MAX_LINE_BYTES, Range, read_blocks, read_lines

_ENDED_LINES = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


@dataclass(frozen=True, slots=True)
class Passage:
    """What becomes a document, or several: a row, a page, or a block of a text, as it stands in the file."""

    position: int
    line: int
    text: str
    format: str
    name: str = ""  # of a member of an archive
    license: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the readers of all formats need besides the file."""

    name: str  # of the file
    format: str
    text_field: str
    stats: ReadStats
    part: Range


def read_contents(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    """Yield the passages of a file, in UTF-8 and without compression, that belong to a range.

    Raises:
        PoisonError: it is too large to be one document.
        UserError: a table cannot be read.
    """
    return READERS[reading.format](file, reading)


def _read_text(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    for position, line, block in read_blocks(file, reading.part):
        text = reading.stats.clean(block.decode("utf-8-sig" if position == 0 else "utf-8", "surrogateescape"))
        if text.strip():
            yield Passage(position, line, text, reading.format)


def _read_json_lines(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    name, stats = reading.name, reading.stats
    for position, number, line in read_lines(file, reading.part, name, stats):
        if line.isspace() or line.strip() == codecs.BOM_UTF8:
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            stats.malformed(name, number, str(error))
            continue
        for _, text in formats.text_of_row(row, name, number, reading.text_field, stats):
            yield Passage(position, number, text, reading.format)


def _read_json(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    contents = io.BytesIO(_read_whole(file, MAX_WHOLE_BYTES, "a JSON file: convert it to JSON lines"))
    rows = formats.json_values(contents, reading.name, reading.stats)
    for position, (number, row) in enumerate(rows):
        for _, text in formats.text_of_row(row, reading.name, number, reading.text_field, reading.stats):
            yield Passage(position, number, text, reading.format)


class SeparatedLines:
    """The lines of a table with their ends, decoded, and the position of the next one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.position = file, 0
        self._pending: list[bytes] = []  # of a line with carriage returns inside

    def seek(self, position: int) -> None:
        """Go to the beginning of a row."""
        if position != self.position:
            self._file.seek(position)
            self.position, self._pending = position, []

    def __iter__(self) -> "SeparatedLines":
        return self

    def __next__(self) -> str:
        if not self._pending:
            line = self._file.readline(MAX_LINE_BYTES)
            if not line:
                raise StopIteration
            self._pending = _ENDED_LINES.findall(line)[::-1] if b"\r" in line[:-2] else [line]
        line = self._pending.pop()
        decoded = line.decode("utf-8-sig" if self.position == 0 else "utf-8", "surrogateescape")
        self.position += len(line)
        return decoded


def _read_separated(file: BinaryIO, reading: Reading, delimiter: str) -> Iterator[Passage]:
    name, stats, part = reading.name, reading.stats, reading.part
    lines = SeparatedLines(file)
    layout = read_layout(lines, name, stats if part.start == 0 else ReadStats(), delimiter)
    line = layout.lines + 1
    if part.start > lines.position:
        lines.seek(part.start)
        line = part.line
    if layout.columns and reading.text_field not in layout.columns:
        columns = ", ".join(layout.columns)
        raise PoisonError(f"has no column '{reading.text_field}'; set text_field to one of {columns}")
    rows = read_rows(lines, layout, name, stats, line)
    while (position := lines.position) < part.end and (numbered := next(rows, None)):
        number, row = numbered
        if row is not None:
            for _, text in formats.text_of_row(row, name, number, reading.text_field, stats):
                yield Passage(position, number, text, reading.format)


def _read_parquet(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    part = reading.part
    columns = formats.columns_of(file, formats.PARQUET, reading.name) or []
    if reading.text_field not in columns:
        raise PoisonError(f"has no column '{reading.text_field}'; set text_field to one of {', '.join(columns)}")
    rows = formats.read_parquet(file, reading.name, reading.text_field, reading.stats, part.start, part.end)
    for number, text in rows:
        yield Passage(number - 1, number, text, reading.format)


def _read_page(file: BinaryIO, reading: Reading, limit: int, kind: str) -> Iterator[Passage]:
    contents = _read_whole(file, limit, f"{kind}: cut it, or leave it out")
    text = reading.stats.clean(contents.decode("utf-8-sig", "surrogateescape"))
    if text.strip():
        yield Passage(0, 1, text, reading.format)


def _read_whole(file: BinaryIO, limit: int, remedy: str) -> bytes:
    contents = file.read(limit + 1)
    if len(contents) > limit:
        raise PoisonError(f"longer than {limit >> 20} MB, too long for {remedy}")
    return contents


CONVERTED = ("html", "man", "rst", "po")  # formats whose passages are not plain text


def plain_text(passage: Passage) -> str:
    """The text of a passage without the marks of its format; an empty string if none remains."""
    match passage.format:
        case "html":
            return text_of_page(passage.text, passage.notes.get("url", ""))
        case "man":
            return text_of_manual_page(passage.text)
        case "rst":
            return text_of_rst(passage.text)
        case "po":
            return text_of_messages(passage.text)
        case _:
            return passage.text


def _read_warc(file: BinaryIO, reading: Reading) -> Iterator[Passage]:
    for position, format, text, url in warc.read_pages(file, reading.part, reading.name, reading.stats):
        yield Passage(position, 0, text, format, notes={"url": url, "kind": "web"})


READERS: dict[str, Callable[[BinaryIO, Reading], Iterator[Passage]]] = {
    "text": _read_text,
    "code": _read_text,
    "jsonl": _read_json_lines,
    "json": _read_json,
    "csv": partial(_read_separated, delimiter=","),
    "tsv": partial(_read_separated, delimiter="\t"),
    "parquet": _read_parquet,
    "warc": _read_warc,
    "html": partial(_read_page, limit=MAX_PAGE_BYTES, kind="a page"),
    "man": partial(_read_page, limit=MAX_PAGE_BYTES, kind="a manual page"),
    "rst": partial(_read_page, limit=MAX_WHOLE_BYTES, kind="a document"),
    "po": partial(_read_page, limit=MAX_WHOLE_BYTES, kind="a catalog of messages"),
}
