"""Reads files of words as other people publish them: a word a line, tables, JSON; also with each line in base64."""

import base64
import binascii
import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lmcraft.data.encodings import NotTextError, find_encoding
from lmcraft.errors import UserError

Encoding = Literal["plain", "base64"]
COLUMN_NAMES = {
    "word": ("word", "text", "term", "phrase", "keyword", "词", "词语", "敏感词"),
    "category": ("category", "type", "label", "类别", "分类"),
    "severity": ("severity", "level", "等级", "级别"),
}
"""Names of columns that need no mapping."""
MAX_WORD_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """A word as a file has it."""

    word: str
    category: str = ""
    severity: Any = None
    line: int = 0


def read_entries(path: Path, encoding: Encoding, columns: Mapping[str, str]) -> Iterator[Entry]:
    """The entries of a file; blank lines and comments (lines with #) are skipped.

    Args:
        path: the file, in any encoding of text. Its name ends in .csv, .tsv, .json or .jsonl, or it has a word a line.
        encoding: of each line: "base64", if the words are meant to be hidden from the eye.
        columns: the names of the columns of a table or the keys of objects: "word", "category", "severity".

    Raises:
        UserError: it cannot be read, or has no word; the message names file and line.
    """
    text = _read(path)
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        entries = _read_table(text, path, columns)
    elif suffix == ".json":
        entries = _read_json(text, path, columns)
    elif suffix == ".jsonl":
        entries = _read_json_lines(text, path, columns)
    else:
        entries = _read_lines(text, path, encoding)
    count = 0
    for entry in entries:
        if len(entry.word) > MAX_WORD_CHARS:
            raise UserError(
                f"{path}:{entry.line}: the word has {len(entry.word):,} characters: shorten it to {MAX_WORD_CHARS:,}"
            )
        if "\n" in entry.word:
            raise UserError(f"{path}:{entry.line}: a word has a line break in it: close the quote before it")
        if entry.word.strip():
            count += 1
            yield entry
    if not count:
        raise UserError(f"'{path}' has no words: write one a line")


def _read(path: Path) -> str:
    content = path.read_bytes()
    try:
        encoding = find_encoding(partial(io.BytesIO, content))
    except NotTextError as error:
        raise UserError(f"'{path}' cannot be read: {error}") from error
    return content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf_8") else encoding, errors="replace")


def _read_lines(text: str, path: Path, encoding: Encoding) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if encoding == "base64" and word:
            try:
                word = base64.b64decode(word, validate=True).decode("utf-8-sig").strip()
            except (binascii.Error, UnicodeDecodeError, ValueError) as error:
                raise UserError(
                    f"{path}:{number}: '{word[:40]}' is not base64 of UTF-8: leave out encoding, or the line"
                ) from error
        if word and not word.startswith("#"):
            yield Entry(word, line=number)


def _read_table(text: str, path: Path, columns: Mapping[str, str]) -> Iterator[Entry]:
    lines = io.StringIO(text, newline="")
    rows = csv.reader(lines, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
    try:
        header = [cell.strip() for cell in next(rows, [])]
        positions = {key: _column(header, key, columns, path) for key in COLUMN_NAMES}
        for row in rows:
            cells = {key: row[at].strip() for key, at in positions.items() if at is not None and at < len(row)}
            if cells.get("word"):
                yield Entry(cells["word"], cells.get("category", ""), cells.get("severity") or None, rows.line_num)
    except csv.Error as error:
        raise UserError(f"{path}:{rows.line_num}: {error}: correct the line") from error


def _column(header: list[str], key: str, columns: Mapping[str, str], path: Path) -> int | None:
    """Where a column stands. A header without any of the usual names is itself a row of words: use .txt for such files."""
    names = (columns[key],) if key in columns else COLUMN_NAMES[key]
    position = next((at for at, name in enumerate(header) if name.casefold() in names or name in names), None)
    if position is None and (key == "word" or key in columns):
        remedy = f'write columns = {{{key} = "..."}} in a [[terms]] that names the file'
        raise UserError(
            f"'{path}' has no column {' or '.join(map(repr, names[:3]))}, but {', '.join(map(repr, header[:8]))}: {remedy}"
        )
    return position


def _read_json(text: str, path: Path, columns: Mapping[str, str]) -> Iterator[Entry]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is not JSON: {error}") from error
    if isinstance(value, dict):
        for category, words in value.items():
            if not isinstance(words, list):
                raise UserError(f"'{path}': {category!r} is no list of words: write lists of words by category")
            yield from (_entry(word, path, position, columns, str(category)) for position, word in enumerate(words, 1))
    elif isinstance(value, list):
        yield from (_entry(word, path, position, columns) for position, word in enumerate(value, 1))
    else:
        raise UserError(f'\'{path}\' is no list of words: write ["...", "..."]')


def _read_json_lines(text: str, path: Path, columns: Mapping[str, str]) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}:{number}: not JSON: {error}") from error
            yield _entry(value, path, number, columns)


def _entry(value: Any, path: Path, position: int, columns: Mapping[str, str], category: str = "") -> Entry:
    if isinstance(value, str):
        return Entry(value.strip(), category, line=position)
    if isinstance(value, dict):
        names = {key: (columns[key],) if key in columns else COLUMN_NAMES[key] for key in COLUMN_NAMES}
        cells = {key: next((value[name] for name in names[key] if name in value), None) for key in names}
        if isinstance(cells["word"], str):
            return Entry(cells["word"].strip(), str(cells["category"] or category), cells["severity"], position)
    raise UserError(f'{path}:{position}: {str(value)[:60]!r} is no word, and no object with a word: write "word": "..."')
