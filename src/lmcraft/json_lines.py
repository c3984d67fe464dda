"""JSON and JSON lines (one JSON value per line), read and written in one way everywhere.

What is written is JSON for every reader: no NaN or Infinity, and escapes for the characters that some readers take for the
end of a line (U+0085, U+2028, U+2029), for other control characters, and for lone surrogates, which UTF-8 lacks. What is
read is split at line feeds only, because every other line separator may stand inside a JSON string.
"""

import gzip
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError

MAX_DEPTH = 200  # levels of arrays and objects in a JSON text; the functions that walk through it call themselves
TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep"
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]', re.DOTALL)
_BOM = b"\xef\xbb\xbf"


def format_json(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON, in one line unless `indent` is set; numbers that are not finite become null."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except ValueError:
        text = json.dumps(_replace_non_finite(value), ensure_ascii=False, allow_nan=False, indent=indent)
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def format_json_line(value: Any) -> str:
    """A value as one line of a JSON lines file, with its line feed."""
    return format_json(value) + "\n"


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8, which may start with a byte-order mark.

    Raises:
        ValueError: it is not JSON; the message says why.
    """
    try:
        value = json.loads(data.removeprefix(_BOM).decode("utf-8"), parse_int=parse_integer)
    except UnicodeDecodeError as error:
        raise ValueError("not valid UTF-8") from error
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    except json.JSONDecodeError as error:
        line = "" if error.lineno == 1 else f"line {error.lineno}, "
        raise ValueError(f"not valid JSON: {error.msg.removesuffix(' at')} at {line}column {error.colno}") from error
    except ValueError as error:
        raise ValueError(f"not valid JSON: {error}") from error
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        raise ValueError(TOO_DEEP)
    return value


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a JSON value has more than this many levels of arrays and objects, one in another."""
    parts = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        children = (child for part in parts for child in (part.values() if isinstance(part, dict) else part))
        parts = [child for child in children if isinstance(child, dict | list)]
        if not parts:
            return False
    return bool(parts)


def find_too_deep(text: str) -> int:
    """The position of the first array or object of a JSON text beyond `MAX_DEPTH`; the end of the text if there is none."""
    depth = 0
    for match in _BRACKET.finditer(text):
        if match[0][0] != '"':
            depth += 1 if match[1] else -1
            if depth > MAX_DEPTH:
                return match.start()
    return len(text)


def parse_integer(digits: str) -> int:
    """A whole number of a JSON text.

    Raises:
        ValueError: it has more digits than Python converts.
    """
    try:
        return int(digits)
    except ValueError as error:
        raise ValueError(f"the number {digits[:20]}... has too many digits ({len(digits.lstrip('-')):,})") from error


def parse_json_lines(lines: Iterable[bytes], report: Callable[[int, str], None]) -> Iterator[tuple[int, Any]]:
    """Yield the number (from 1) and the value of each line that is not blank.

    Args:
        lines: such as an open binary file.
        report: called with the number of a line that is not JSON, and the reason.
    """
    for number, line in enumerate(lines, start=1):
        if not line.removeprefix(_BOM).strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            report(number, str(error))
        else:
            yield number, row


def read_json_lines(path: Path, **fields: type) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file that lmcraft wrote, without a last line that a crash cut short; none if there is no file.

    Args:
        path: the file.
        fields: the keys that each row must have, with the types of their values.

    Raises:
        UserError: a line in the middle is not such a row; the message has its number.
    """
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            row = _parse_row(line, fields)
            if row is not None:
                yield row
            elif line.endswith(b"\n") and line.strip():
                raise UserError(f"line {number} of '{path}' is damaged: restore the file from a copy, or remove the line")


def write_packed_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write JSON lines into a gzip file without a time or a name, so that equal rows make equal files."""
    with ExitStack() as stack:
        raw = stack.enter_context(path.open("wb"))
        packed = stack.enter_context(gzip.GzipFile("", "wb", fileobj=raw, mtime=0))
        file = stack.enter_context(io.TextIOWrapper(packed, encoding="utf-8", newline="\n"))
        file.writelines(map(format_json_line, rows))


def _parse_row(line: bytes, fields: Mapping[str, type]) -> dict[str, Any] | None:
    """The JSON object in a line; None if there is no such object."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    is_row = isinstance(row, dict) and all(isinstance(row.get(name), kind) for name, kind in fields.items())
    return row if is_row else None


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_non_finite(item) for item in value]
    return value
