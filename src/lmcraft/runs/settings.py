"""Settings of runs by dotted names, from run.toml, and where runs differ."""

import datetime
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lmcraft.runs.small_files import MAX_TEXT_CHARS, read_small

MAX_SETTINGS = 2000
MAX_DEPTH = 8
MAX_ITEMS = 100
Settings = dict[str, Any]


def read_settings(file: Path) -> Settings:
    """The settings of a run.toml by dotted names; none if it is missing or damaged."""
    try:
        table = tomllib.loads(read_small(file).decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return {}
    flat: Settings = {}
    for name, value in _flatten(table, "", 0):
        if len(flat) == MAX_SETTINGS:
            break
        flat[name] = value
    return flat


def _flatten(table: Mapping[str, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and depth < MAX_DEPTH:
            yield from _flatten(value, f"{prefix}{name}.", depth + 1)
        else:
            yield (prefix + name)[:MAX_TEXT_CHARS], _plain(value)


def _plain(value: Any) -> Any:
    """A value that JSON has, too: a number, a short text, or a list of these."""
    if isinstance(value, str):
        return value[:MAX_TEXT_CHARS]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**53 else str(value)[:MAX_TEXT_CHARS]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return [item if isinstance(item, str | int | float) else str(item) for item in map(_plain, value[:MAX_ITEMS])]
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)[:MAX_TEXT_CHARS]


def compare_settings(runs: Mapping[str, Settings]) -> list[dict[str, Any]]:
    """Each setting that any of the runs has: its name, its value by run (absent: it has none), and whether they differ."""
    names = dict.fromkeys(name for settings in runs.values() for name in settings)
    return [_compare(name, runs) for name in names]


def _compare(name: str, runs: Mapping[str, Settings]) -> dict[str, Any]:
    values = {run: settings[name] for run, settings in runs.items() if name in settings}
    distinct = {(type(value).__name__, repr(value)) for value in values.values()}
    return {"name": name, "values": values, "differs": len(distinct) > 1 or len(values) < len(runs)}
