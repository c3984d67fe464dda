"""Readers of file formats: each takes an open file and yields (line number, text) or (row number, row)."""

import codecs
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from lmcraft.data.documents import ReadStats
from lmcraft.data.separated_values import read_separated
from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.json_lines import parse_json_lines

COMPRESSED = (".gz", ".zst")
BLOCK_BYTES = 1 << 20  # bytes read at a time
LINES_OF_OBJECTS = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*\{[^\n]*\n\s*\{"
)  # JSON lines in a .json file, as `datasets` writes them
ROW_LISTS = ("data", "rows", "examples", "train")  # fields of an object that holds a list of rows
PARQUET_BATCH_ROWS = 1024  # rows of a Parquet file decoded at a time
Row = tuple[int, str]


def open_decompressed(path: Path, raw: BinaryIO) -> BinaryIO:
    """Decompress `raw` according to the suffix of `path`."""
    if path.suffix == ".gz":
        return gzip.open(raw)  # type: ignore[return-value]  # binary mode is the default
    if path.suffix == ".zst":
        zstandard = import_optional("zstandard", "zstd", f"'{path}'")
        # The stream reader alone has no readline.
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True))
    return raw


def read_text(file: BinaryIO, document_chars: int, stats: ReadStats) -> Iterator[Row]:
    """Yield a text in pieces of at most `document_chars` characters that add up to the text, without its byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("surrogateescape")
    buffer, line, final = "", 1, False
    while not final:
        block = file.read(BLOCK_BYTES)
        final = not block
        buffer += stats.clean(decoder.decode(block, final))
        start = 0
        while len(buffer) - start > document_chars or (final and start < len(buffer)):
            end = _piece_end(buffer, start, document_chars)
            piece = buffer[start:end]
            yield line, piece
            line += piece.count("\n")
            start = end
        buffer = buffer[start:]


def _piece_end(text: str, start: int, limit: int) -> int:
    """End of the piece that begins at `start`: after a blank line in its second half, else a line, else a word."""
    if len(text) - start <= limit:
        return len(text)
    for separator in ("\n\n", "\n\r\n", "\n", " "):
        position = text.rfind(separator, start + limit // 2, start + limit)
        if position >= 0:
            return position + len(separator)
    return start + limit


def json_lines(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield the JSON value of each line, or of a list that is the whole file; blank lines are skipped."""
    first = file.readline()
    if first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        contents = first + file.read()
        try:
            rows = json.loads(contents)
        except (ValueError, RecursionError):  # each line is a list, or the list is damaged
            file, first = io.BytesIO(contents), b""
        else:
            yield from enumerate(rows, start=1)
            return
    lines = chain([first] if first else [], iter(file.readline, b""))
    yield from parse_json_lines(lines, partial(stats.malformed, name))


def json_values(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a JSON file, read into memory: a list of rows, a list in an object, a row, or JSON lines."""
    contents = file.read()
    if LINES_OF_OBJECTS.match(contents):
        yield from json_lines(io.BytesIO(contents), name, stats)
        return
    try:
        rows = json.loads(contents.decode("utf-8-sig"))
    except UnicodeDecodeError:
        stats.malformed(name, 1, "not valid UTF-8")
    except (ValueError, RecursionError) as error:
        stats.malformed(name, getattr(error, "lineno", 1), f"not valid JSON: {error}")
    else:
        yield from enumerate(_unwrap_rows(rows), start=1)


def _unwrap_rows(value: Any) -> list[Any]:
    """The rows of a JSON value: itself, a list, or an object whose field "data", "rows" or so is a list of objects."""
    if isinstance(value, list):
        return value
    for key in ROW_LISTS:
        if isinstance(value, dict) and isinstance(rows := value.get(key), list) and all(isinstance(r, dict) for r in rows):
            return rows
    return [value]


def separated_values(file: BinaryIO, name: str, stats: ReadStats, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    """Yield the rows of a CSV or TSV file as dicts; the first line names the columns."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    yield from read_separated(lines, name, stats, delimiter)


def parquet_rows(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a Parquet file as dicts, without the fields that are null.

    A column of objects gives each object the fields of all others, as nulls.
    """
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    number = 0
    for batch in parquet.ParquetFile(file).iter_batches(batch_size=PARQUET_BATCH_ROWS):
        for row in batch.to_pylist():
            number += 1
            yield number, _without_nulls(row) | {column: None for column, value in row.items() if value is None}


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_nulls(item) for key, item in value.items() if item is not None}
        case list():
            return [_without_nulls(item) for item in value]
        case _:
            return value


def lookup(row: Mapping[str, Any], column: str) -> Any:
    """The value of a column; `a.b` is the field b of the object in column a.

    Raises:
        KeyError: there is no such column.
    """
    if column in row:
        return row[column]
    outer, dot, inner = column.partition(".")
    if not dot or outer not in row or not isinstance(value := row[outer], Mapping | None):
        raise KeyError(column)
    return None if value is None else lookup(value, inner)


def read_json_lines(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """Yield the text of each row of `json_lines`."""
    for number, row in json_lines(file, name, stats):
        yield from _text_of(row, name, number, text_field, stats)


def read_json(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """Yield the text of each row of `json_values`."""
    for number, row in json_values(file, name, stats):
        yield from _text_of(row, name, number, text_field, stats)


def _text_of(row: Any, name: str, number: int, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """The text of a row: its text field, or the row itself if it is a string; none if it is malformed."""
    try:
        value = lookup(row, text_field) if isinstance(row, dict) else row
    except KeyError:
        hint = " (it has `messages`, so it is chat data for fine-tuning)" if "messages" in row else ""
        stats.malformed(name, number, f"no field '{text_field}'{hint}")
        return
    if isinstance(value, str) and value.strip():
        yield number, stats.clean(value)
    else:
        stats.malformed(name, number, "the text is empty" if isinstance(value, str) else "the text is not a string")


def read_parquet(file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """Yield the text column of a Parquet file; `a.b` is the field b of the objects in column a.

    Raises:
        UserError: the file has no such column.
    """
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    table = parquet.ParquetFile(file)
    columns = list(_column_names(table.schema_arrow))
    if text_field not in columns:
        raise UserError(f"'{name}' has no column '{text_field}'; set text_field to one of {', '.join(columns)}")
    number = 0
    for batch in table.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=[text_field]):
        for row in batch.to_pylist():
            number += 1
            yield from _text_of(row, name, number, text_field, stats)


def _column_names(fields: Iterable[Any], prefix: str = "") -> Iterator[str]:
    """The names of the columns of an Arrow schema, with the fields of objects as `column.field`."""
    for field in fields:
        if hasattr(field.type, "fields"):
            yield from _column_names(field.type.fields, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def read_hugging_face(name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """Stream the training split of a Hugging Face dataset; `name` is owner/name or owner/name:configuration.

    Raises:
        UserError: the dataset cannot be loaded.
    """
    datasets = import_optional("datasets", "hf", f"'hf:{name}'")
    path, _, configuration = name.partition(":")
    try:
        rows = datasets.load_dataset(path, configuration or None, split="train", streaming=True)
    except Exception as error:  # the library raises many types, for wrong names and for lost connections
        raise UserError(f"the dataset 'hf:{name}' cannot be loaded ({error}); check its name and the network") from error
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
    """The suffix of the file format, ignoring a compression suffix."""
    return (Path(path.stem) if path.suffix in COMPRESSED else path).suffix.lower()


def has_rows(path: Path) -> bool:
    """Whether a file is read as rows, judged by its name; any other file is one text."""
    return inner_suffix(path) in ROW_FORMATS
