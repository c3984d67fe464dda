"""Readers of file formats: each takes an open file and yields (line number, text) or (row number, row)."""

import codecs
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from lmcraft.data.compression import compression_suffix
from lmcraft.data.documents import ReadStats
from lmcraft.data.missing import is_empty
from lmcraft.data.separated_values import read_headless, read_separated
from lmcraft.data.value_kinds import describe_value
from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.json_lines import MAX_DEPTH, TOO_DEEP, find_too_deep, is_deeper, parse_json_lines

BLOCK_BYTES = 1 << 20  # bytes read at a time
LINES_OF_OBJECTS = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*\{[^\n]*\n\s*\{"
)  # JSON lines in a .json file, as `datasets` writes them
ROW_LISTS = ("data", "rows", "examples", "train")  # fields of an object that holds a list of rows
_JSON_SPACE = re.compile(r"\s*")
PARQUET_BATCH_ROWS = 1024  # rows of a Parquet file decoded at a time
Row = tuple[int, str]


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


def cut_text(text: str, limit: int) -> Iterator[str]:
    """The pieces of a text, each of at most `limit` characters, that add up to it."""
    start = 0
    while start < len(text):
        end = _piece_end(text, start, limit)
        yield text[start:end]
        start = end


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
    """Yield the JSON value of each line; blank lines are skipped. A list of rows is read as in a JSON file."""
    lines = iter(file.readline, b"")
    first = b""
    while not first.removeprefix(codecs.BOM_UTF8).strip():
        if not (line := next(lines, b"")):
            return
        first += line
    if first.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[") or first.removeprefix(codecs.BOM_UTF8).strip() == b"{":
        yield from json_values(io.BytesIO(first + file.read()), name, stats)
    else:
        yield from parse_json_lines(chain(first.splitlines(keepends=True), lines), partial(stats.malformed, name))


def json_values(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a JSON file, read into memory: a list of rows, a list in an object, a row, or JSON lines.

    Each comes with the number of the line where it begins.
    """
    contents = file.read()
    if LINES_OF_OBJECTS.match(contents):
        yield from json_lines(io.BytesIO(contents), name, stats)
        return
    try:
        text = contents.decode("utf-8-sig")
        values = _decode_values(text)
    except UnicodeDecodeError:
        stats.malformed(name, 1, "not valid UTF-8")
    except RecursionError:
        stats.malformed(name, text.count("\n", 0, find_too_deep(text)) + 1, TOO_DEEP)
    except ValueError as error:
        stats.malformed(name, getattr(error, "lineno", 1), f"not valid JSON: {error}")
    else:
        line, counted = 1, 0
        for start, row in _unwrap_rows(text, *values[0]) if len(values) == 1 else values:
            line, counted = line + text.count("\n", counted, start), start
            if is_deeper(row, MAX_DEPTH):
                stats.malformed(name, line, TOO_DEEP)
            else:
                yield line, row


def _decode_values(text: str) -> list[tuple[int, Any]]:
    """The JSON values of a text, one after the other, each with its position; at least one."""
    values: list[tuple[int, Any]] = []
    position, decoder = 0, json.JSONDecoder()
    while not values or position < len(text):
        start = _skip_space(text, position)
        value, position = decoder.raw_decode(text, start)
        values.append((start, value))
        position = _skip_space(text, position)
    return values


def _unwrap_rows(text: str, start: int, value: Any) -> Iterator[tuple[int, Any]]:
    """The rows of the JSON value at `start`, each with its position in the text: the value itself, the items of a list, or
    those of an object's field "data", "rows" or so, if it is a list of objects."""
    if isinstance(value, list):
        yield from zip(_item_starts(text, start), value, strict=True)
        return
    for key in ROW_LISTS:
        if isinstance(value, dict) and isinstance(rows := value.get(key), list) and all(isinstance(r, dict) for r in rows):
            yield from zip(_item_starts(text, _field_start(text, start, key)), rows, strict=True)
            return
    yield start, value


def _item_starts(text: str, start: int) -> Iterator[int]:
    """The position of each item of the valid JSON list at `start`."""
    decoder, position = json.JSONDecoder(), _skip_space(text, start + 1)
    while text[position] != "]":
        yield position
        position = _skip_space(text, decoder.raw_decode(text, position)[1])
        if text[position] == ",":
            position = _skip_space(text, position + 1)


def _field_start(text: str, start: int, name: str) -> int:
    """The position of the value of a field in the valid JSON object at `start`; the last one counts, as in Python."""
    decoder, position, field = json.JSONDecoder(), _skip_space(text, start + 1), start
    while text[position] != "}":
        key, position = decoder.raw_decode(text, position)
        position = _skip_space(text, _skip_space(text, position) + 1)  # after the colon
        if key == name:
            field = position
        position = _skip_space(text, decoder.raw_decode(text, position)[1])
        if text[position] == ",":
            position = _skip_space(text, position + 1)
    return field


def _skip_space(text: str, position: int) -> int:
    return _JSON_SPACE.match(text, position).end()  # type: ignore[union-attr]  # it always matches


def separated_values(file: BinaryIO, name: str, stats: ReadStats, delimiter: str = ",") -> Iterator[tuple[int, Any]]:
    """Yield the rows of a CSV or TSV file as dicts; the first line names the columns."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    yield from read_separated(lines, name, stats, delimiter)


def headless_rows(
    file: BinaryIO, name: str, stats: ReadStats, *, columns: Sequence[str], suffix: str
) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a file without a header as dicts: cells separated by commas in a .csv file, by tabs in others."""
    lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    yield from read_headless(lines, name, stats, columns, "," if suffix == CSV else "\t")


def parquet_rows(file: BinaryIO, name: str, stats: ReadStats) -> Iterator[tuple[int, Any]]:
    """Yield the rows of a Parquet file as dicts, without the fields that are null.

    A column of objects gives each object the fields of all others, as nulls. A ClassLabel column of `datasets` has
    names instead of numbers; -1, its number for no label, is null.
    """
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    table = parquet.ParquetFile(file)
    class_names = _class_names(table.schema_arrow.metadata or {})
    for number, row in _number_rows(table.iter_batches(batch_size=PARQUET_BATCH_ROWS), name, stats):
        for column, names in class_names.items():
            if isinstance(index := row.get(column), int):
                row[column] = names[index] if 0 <= index < len(names) else None
        yield number, _without_nulls(row) | {column: None for column, value in row.items() if value is None}


def _number_rows(
    batches: Iterable[Any], name: str, stats: ReadStats, number: int = 0
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of Arrow batches with their numbers, which begin after `number`. Spark writes texts as bytes without a
    type: those are decoded."""
    for batch in batches:
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError:  # a column of texts holds other bytes
            rows = [batch.slice(row, 1) for row in range(len(batch))]
        for row in rows:
            number += 1
            try:
                yield number, decode_bytes(row if isinstance(row, dict) else row.to_pylist()[0])
            except UnicodeDecodeError as error:
                stats.malformed(name, number, f"it holds {describe_value(error.object)}")


def decode_bytes(value: Any) -> Any:
    """The value with all bytes in it that are UTF-8 as texts; others stay bytes."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return value
        case dict():
            return {key: decode_bytes(item) for key, item in value.items()}
        case list():
            return [decode_bytes(item) for item in value]
        case _:
            return value


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the classes of each ClassLabel column, from the metadata that `datasets` writes into a Parquet file."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features", {})
        labels = {
            column: f["names"] for column, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"
        }
    except (ValueError, AttributeError, KeyError):  # written by another program
        return {}
    return {column: [str(name) for name in names] for column, names in labels.items() if isinstance(names, list)}


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


def read_texts(table: "ReadTable", file: BinaryIO, name: str, text_field: str, stats: ReadStats) -> Iterator[Row]:
    """Yield the text of each row of a table."""
    for number, row in table(file, name, stats):
        yield from text_of_row(row, name, number, text_field, stats)


def text_of_row(row: Any, name: str, number: int, text_field: str, stats: ReadStats) -> Iterator[Row]:
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
        subject = f"the field '{text_field}'" if isinstance(row, dict) else "the row"
        remark = "" if is_empty(value) else ", not text"
        stats.malformed(name, number, f"{subject} is {describe_value(value)}{remark}")


def read_parquet(
    file: BinaryIO, name: str, text_field: str, stats: ReadStats, start: int = 0, end: int | None = None
) -> Iterator[Row]:
    """Yield the text column of a Parquet file; `a.b` is the field b of the objects in column a.

    Only the row groups that hold rows from `start`, counted from 0, up to and without `end` are read.
    """
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    table = parquet.ParquetFile(file, pre_buffer=False, buffer_size=BLOCK_BYTES)  # a group of rows can be large
    first = 0
    for group in range(table.num_row_groups):
        rows = table.metadata.row_group(group).num_rows
        begin, stop = max(start - first, 0), rows if end is None else min(end - first, rows)
        if begin < stop:
            batches = table.iter_batches(batch_size=PARQUET_BATCH_ROWS, row_groups=[group], columns=[text_field])
            for number, row in _number_rows(_slice_batches(batches, begin, stop), name, stats, first + begin):
                yield from text_of_row(row, name, number, text_field, stats)
        first += rows


def count_group_rows(file: BinaryIO, name: str) -> list[tuple[int, int]]:
    """The number of rows and the size in bytes of each group of rows of a Parquet file."""
    parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
    metadata = parquet.ParquetFile(file).metadata
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    return [(group.num_rows, group.total_byte_size) for group in groups]


def _slice_batches(batches: Iterable[Any], start: int, end: int) -> Iterator[Any]:
    """The rows of Arrow batches from `start` to `end`."""
    first = 0
    for batch in batches:
        begin, stop = max(start - first, 0), min(end - first, len(batch))
        if begin < stop:
            yield batch.slice(begin, stop - begin)
        first += len(batch)
        if first >= end:
            return


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
        yield from text_of_row(decode_bytes(dict(row)), f"hf:{name}", number, text_field, stats)


def columns_of(file: BinaryIO, suffix: str, name: str) -> list[str] | None:
    """The columns of a file whose rows all have the same; None for other formats, and for an empty file."""
    if suffix == PARQUET:
        parquet = import_optional("pyarrow.parquet", "parquet", f"'{name}'")
        return list(_column_names(parquet.ParquetFile(file).schema_arrow))
    if suffix not in SEPARATED:
        return None
    first = next(TABLES[suffix](file, name, ReadStats()), None)
    return None if first is None else list(first[1])


PARQUET = ".parquet"
CSV = ".csv"
SEPARATED = (CSV, ".tsv")
ReadTable = Callable[[BinaryIO, str, ReadStats], Iterator[tuple[int, Any]]]
TABLES: dict[str, ReadTable] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_values,
    CSV: separated_values,
    ".tsv": partial(separated_values, delimiter="\t"),
    PARQUET: parquet_rows,
}
ReadRows = Callable[[BinaryIO, str, str, ReadStats], Iterator[Row]]
ROW_FORMATS: dict[str, ReadRows] = {suffix: partial(read_texts, table) for suffix, table in TABLES.items()} | {
    PARQUET: read_parquet,
}


def inner_suffix(path: Path) -> str:
    """The suffix of the file format, ignoring a compression suffix."""
    return (Path(path.stem) if compression_suffix(path) else path).suffix.lower()


def has_rows(path: Path) -> bool:
    """Whether a file is read as rows, judged by its name; any other file is one text."""
    return inner_suffix(path) in ROW_FORMATS
