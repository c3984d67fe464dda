"""CSV and TSV files: rows as dicts, each with the line where it begins."""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TextIO

from lmcraft.data.documents import ReadStats
from lmcraft.data.missing import MISSING_SPELLINGS, MissingCell
from lmcraft.errors import UserError

DELIMITERS = (",", "\t", ";", "|")
MAX_CELL_CHARS = 1 << 27  # beyond, a quote was never closed; the csv module's own limit is 131,072
WHOLE_NUMBER = re.compile(r"-?[0-9]+\.0+")
SEPARATOR_LINE = re.compile(r"sep=(.)\s*", re.IGNORECASE)  # Excel's first line


class WholeNumberCell(str):
    """A cell whose text is a whole number with zeros after the point: tables with empty cells store 1 as 1.0."""

    __slots__ = ()

    def whole(self) -> str:
        """The number without the point and the zeros."""
        return self.strip().partition(".")[0]


class Layout(NamedTuple):
    """What the first lines of a file say of its rows."""

    columns: list[str]
    """Their names; none in a file without any text."""
    delimiter: str
    lines: int
    """How many lines precede the first row."""


def read_separated(lines: Iterator[str], name: str, stats: ReadStats, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    """Yield (line, row) for each row; the first line names the columns. Rows without any text are skipped. A cell that
    spells a missing value becomes a `MissingCell`, and one such as 1.0 a `WholeNumberCell`.

    Args:
        lines: with their ends, of a file opened with newline="".
        name: of the file.
        stats: counts rows that cannot be read.
        delimiter: between cells, unless the first line has more columns with another of `DELIMITERS`.

    Raises:
        UserError: two columns have the same name.
    """
    layout = read_layout(lines, name, stats, delimiter)
    for line, row in read_rows(lines, layout, name, stats, layout.lines + 1):
        if row is not None:
            yield line, row


def read_layout(lines: Iterator[str], name: str, stats: ReadStats, delimiter: str = ",") -> Layout:
    """Read the lines up to the names of the columns; for the arguments, see `read_separated`.

    Raises:
        UserError: two columns have the same name.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    first, before = next(lines, ""), 0
    if match := SEPARATOR_LINE.fullmatch(first):
        delimiter, first, before = match[1], next(lines, ""), 1
    else:
        delimiter = _choose_delimiter(first, delimiter)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            stats.malformed(name, line, _explain(error, line, before + reader.line_num))
            continue
        if cells is None or any(cell.strip() for cell in cells):
            return Layout(_check_columns(cells or [], name, line), delimiter, before + reader.line_num)


def read_rows(
    lines: Iterator[str], layout: Layout, name: str, stats: ReadStats, first_line: int
) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield (line, row) for each row, as `read_separated`; the row is None if it is blank or cannot be read.

    Only the lines of a row are read before it is yielded.

    Args:
        lines: after those of the layout, or from the beginning of any row on.
        layout: of the file.
        name: of the file.
        stats: counts rows that cannot be read.
        first_line: the number of the first of the lines.
    """
    csv.field_size_limit(MAX_CELL_CHARS)
    columns, delimiter = layout.columns, layout.delimiter
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = first_line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            stats.malformed(name, line, _explain(error, line, first_line + reader.line_num - 1))
            yield line, None
            continue
        if not any(cell.strip() for cell in cells):
            yield line, None
        elif len(cells) < len(columns) or any(cells[len(columns) :]):
            hint = f"; put cells that contain {delimiter!r} in quotes" if len(cells) > len(columns) else ""
            stats.malformed(name, line, f"it has {len(cells)} columns, and the header has {len(columns)}{hint}")
            yield line, None
        else:
            pairs = zip(columns, cells, strict=False)
            yield line, {column: _parse_cell(cell, stats) for column, cell in pairs if column}


def read_headless(
    lines: TextIO, name: str, stats: ReadStats, columns: Sequence[str], delimiter: str
) -> Iterator[tuple[int, Any]]:
    """Yield (line, row) for each row of a file without a header. A shorter row lacks the last columns.

    Args:
        lines: opened with newline="".
        name: of the file.
        stats: counts rows with more cells than there are columns.
        columns: their names.
        delimiter: between cells; in files with tabs, quotes are ordinary characters.

    Raises:
        UserError: two columns have the same name.
    """
    if repeated := [column for column in columns if columns.count(column) > 1]:
        raise UserError(
            f"{name}: columns = ... names '{repeated[0]}' {columns.count(repeated[0])} times: rename all but one"
        )
    csv.field_size_limit(MAX_CELL_CHARS)
    if delimiter == "\t":
        reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            stats.malformed(name, line, _explain(error, line, reader.line_num))
            continue
        if len(cells) > len(columns):
            stats.malformed(name, line, f"it has {len(cells)} columns, and columns = ... names {len(columns)}")
        elif any(cell.strip() for cell in cells):
            yield line, dict(zip(columns, map(stats.clean, cells), strict=False))


def _parse_cell(cell: str, stats: ReadStats) -> str | MissingCell:
    if cell in MISSING_SPELLINGS:
        return MissingCell(cell)
    return WholeNumberCell(cell) if WHOLE_NUMBER.fullmatch(cell.strip()) else stats.clean(cell)


def _choose_delimiter(header: str, preferred: str) -> str:
    """The delimiter that gives the header the most columns; the preferred one if several do."""

    def count_columns(delimiter: str) -> int:
        return len(next(csv.reader([header], delimiter=delimiter), []))

    return max((preferred, *DELIMITERS), key=count_columns)


def _check_columns(cells: list[str], name: str, line: int) -> list[str]:
    columns = [cell.strip() for cell in cells]
    repeated = next((column for column in columns if column and columns.count(column) > 1), None)
    if repeated is not None:
        raise UserError(f"{name}:{line} names the column '{repeated}' {columns.count(repeated)} times: rename all but one")
    return columns


def _explain(error: csv.Error, first: int, last: int) -> str:
    lines = f"lines {first} to {last} are one row" if last > first else "the row"
    if "unexpected end of data" in str(error):
        return f"a quote is opened and never closed, so that the rest of the file is one row (lines {first} to {last})"
    if "expected after" in str(error):
        return f"text follows a closing quote; {lines}: double the quotes inside of a quoted cell"
    return f"not valid CSV: {error}"
