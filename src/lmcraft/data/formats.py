"""Readers of file formats: each takes an open file and yields (line, text), in bounded memory."""

import codecs
import csv
import gzip
import importlib
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from lmcraft.data.documents import ReadStats
from lmcraft.errors import UserError

COMPRESSED = (".gz", ".zst")
BLOCK = 1 << 20  # bytes read at a time
ROWS = 1024  # rows of a Parquet file decoded at a time
Row = tuple[int, str]


def import_optional(module: str, extra: str, what: str) -> Any:
    """Import an optional dependency.

    Raises:
        UserError: it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UserError(f"{what} needs the package '{module}': install it with `pip install 'lmcraft[{extra}]'`") from error


def open_decompressed(path: Path, raw: BinaryIO) -> BinaryIO:
    """The content of `raw`, decompressed as the name of `path` says."""
    if path.suffix == ".gz":
        return gzip.open(raw)  # type: ignore[return-value]  # binary mode is the default
    if path.suffix == ".zst":
        zstandard = import_optional("zstandard", "zstd", f"'{path}'")
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))  # has lines
    return raw


def read_text(file: BinaryIO, document_chars: int, stats: ReadStats) -> Iterator[Row]:
    """A text in pieces of at most `document_chars` characters; together they are the text, less a byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    buffer, line, final = "", 1, False
    while not final:
        block = file.read(BLOCK)
        final = not block
        buffer += stats.clean(decoder.decode(block, final))
        start = 0
        while len(buffer) - start > document_chars or (final and start < len(buffer)):
            end = _cut(buffer, start, document_chars)
            piece = buffer[start:end]
            yield line, piece
            line += piece.count("\n")
            start = end
        buffer = buffer[start:]


def _cut(text: str, start: int, limit: int) -> int:
    """Where the piece that begins at `start` ends: after a blank line in its second half, else a line, else a word."""
    if len(text) - start <= limit:
        return len(text)
    for separator in ("\n\n", "\n\r\n", "\n", " "):
        found = text.rfind(separator, start + limit // 2, start + limit)
        if found >= 0:
            return found + len(separator)
    return start + limit


def json_lines(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """The JSON value of each line; a blank line is no row."""
    for number, line in enumerate(iter(file.readline, b""), start=1):
        line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not line.strip():
            continue
        try:
            row = json.loads(line.decode("utf-8"))
        except UnicodeDecodeError:
            stats.malformed(name, number, "not valid UTF-8")
        except (ValueError, RecursionError) as error:
            stats.malformed(name, number, f"not valid JSON: {error}")
        else:
            yield number, row


def json_values(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """The rows of one JSON value, a list of rows or a single row; it is held in memory as a whole."""
    try:
        rows = json.loads(file.read().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        stats.malformed(name, 1, f"not valid JSON: {error}")
        return
    yield from enumerate(rows if isinstance(rows, list) else [rows], start=1)


def separated_values(file: BinaryIO, name: str, stats: ReadStats, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    """The rows of a table whose first line names its columns, as dicts."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        for number, row in enumerate(csv.DictReader(lines, delimiter=delimiter, strict=True), start=2):
            if None in row or None in row.values():
                stats.malformed(name, number, "it has more or fewer columns than the first line")
            else:
                yield number, {column: stats.clean(value) for column, value in row.items()}
    except csv.Error as error:
        stats.malformed(name, 1, f"not a table of values: {error}")


def parquet_rows(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """The rows of a Parquet file, as dicts."""
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    number = 0
    for batch in parquet.ParquetFile(file).iter_batches(batch_size=ROWS):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def read_json_lines(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The text of each row of `json_lines`."""
    for number, row in json_lines(file, name, stats):
        yield from _text_of(row, name, number, text_field, stats)


def read_json(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The text of each row of `json_values`."""
    for number, row in json_values(file, name, stats):
        yield from _text_of(row, name, number, text_field, stats)


def _text_of(row: Any, name: str, number: int, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The text of a row: its text field, or the row itself where that is a string."""
    value = row.get(text_field) if isinstance(row, dict) else row
    if isinstance(value, str) and value.strip():
        yield number, stats.clean(value)
    elif isinstance(row, dict) and text_field not in row:
        chat = " (it has `messages`: that is chat data, for fine-tuning)" if "messages" in row else ""
        stats.malformed(name, number, f"no field '{text_field}'{chat}")
    else:
        stats.malformed(name, number, "the text is empty" if isinstance(value, str) else "the text is not a string")


def read_parquet(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The text column of a Parquet file."""
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    table = parquet.ParquetFile(file)
    if text_field not in table.schema_arrow.names:
        names = ", ".join(table.schema_arrow.names)
        raise UserError(f"'{name}' has no column '{text_field}': set text_field to one of {names}")
    number = 0
    for batch in table.iter_batches(batch_size=ROWS, columns=[text_field]):
        for value in batch.column(0).to_pylist():
            number += 1
            yield from _text_of({text_field: value}, name, number, text_field, stats)


def read_hugging_face(name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The training split of a Hugging Face dataset, streamed; `name` is owner/name or owner/name:configuration."""
    datasets = import_optional("datasets", "hf", f"'hf:{name}'")
    path, _, configuration = name.partition(":")
    try:
        rows = datasets.load_dataset(path, configuration or None, split="train", streaming=True)
    except Exception as error:  # the library raises many kinds, for a wrong name as for a lost connection
        raise UserError(f"the dataset 'hf:{name}' cannot be loaded ({error}): check its name and the network") from error
    for number, row in enumerate(rows, start=1):
        yield from _text_of(dict(row), f"hf:{name}", number, text_field, stats)


ReadRows = Callable[[BinaryIO, str, str, ReadStats], Iterator[Row]]
ROW_FORMATS: dict[str, ReadRows] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".parquet": read_parquet,
}


ReadTable = Callable[[BinaryIO, str, ReadStats], Iterator[tuple[int, Any]]]
TABLES: dict[str, ReadTable] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_values,
    ".csv": separated_values,
    ".tsv": partial(separated_values, delimiter="\t"),
    ".parquet": parquet_rows,
}


def inner_suffix(path: Path) -> str:
    """The suffix that says the format, below that of the compression."""
    return (Path(path.stem) if path.suffix in COMPRESSED else path).suffix.lower()


def has_rows(path: Path) -> bool:
    """Whether a file is read as rows, by its name; any other is one text."""
    return inner_suffix(path) in ROW_FORMATS
