"""Small files of a run, of which nothing is believed: neither that they are files, nor their size, nor what they hold."""

import os
import stat
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

from lmcraft.json_lines import parse_json

MAX_SMALL_BYTES = 2**20
MAX_TEXT_CHARS = 2000
MAX_ITEMS = 20


def open_regular(path: Path, flags: int = os.O_RDONLY) -> int:
    """The descriptor of a regular file, without following a link, and without waiting for a pipe.

    Raises:
        OSError: there is no such file.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(f"'{path}' is not a regular file")
    return descriptor


def read_small(path: Path) -> bytes:
    """The contents of a file; empty if there is none, or if it is larger than `MAX_SMALL_BYTES`."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            contents = file.read(MAX_SMALL_BYTES + 1)
    except OSError:
        return b""
    return contents if len(contents) <= MAX_SMALL_BYTES else b""


def read_head(path: Path, size: int) -> bytes:
    """The first bytes of a file; empty if there is none."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read(size)
    except OSError:
        return b""


def read_tail(path: Path, size: int) -> bytes:
    """The last bytes of a file; empty if there is none."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - size))
            return file.read(size)
    except OSError:
        return b""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty if there is none."""
    try:
        value = parse_json(read_small(path))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def plain_table(value: Any) -> dict[str, Any] | None:
    """The numbers and short texts of a JSON object by name; None for anything else."""
    if not isinstance(value, dict):
        return None
    plain = {text(name): text(item) if isinstance(item, str) else _plain_number(item) for name, item in value.items()}
    return dict(islice(plain.items(), MAX_ITEMS))


def _plain_number(value: Any) -> float | None:
    """A number; a whole one, such as a year, stays one."""
    return number(value) if (whole := integer(value)) is None else whole


def number(value: Any) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        converted = float(value)
    except OverflowError:
        return None
    return converted if isfinite(converted) else None


def integer(value: Any) -> int | None:
    """A whole number that JavaScript has, too; None for anything else."""
    return value if type(value) is int and abs(value) < 2**53 else None


def text(value: Any) -> str:
    """A short text; empty for anything else."""
    return value[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode() if isinstance(value, str) else ""
