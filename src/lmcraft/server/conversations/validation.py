"""What a store takes: texts and JSON that are bounded, and that every database and every reader of JSON can hold."""

import json
import re
from collections.abc import Mapping
from typing import Any

from lmcraft.errors import UserError

TITLE = 200  # characters, as the next ones
SEARCH = 200
NAME = 200  # of a model
REASON = 2_000
CONTENT = 1_000_000
SETTINGS = 64 * 2**10  # bytes of JSON
DETAILS = 2**20
DEPTH = 16  # objects and lists in each other
MESSAGES = 10_000  # of a conversation
CONVERSATIONS = 10_000  # of one import
LATEST = 1e11  # seconds since 1970

_NOT_KEPT = re.compile("[\0\ud800-\udfff]")  # PostgreSQL has no NUL, UTF-8 no surrogates
_ID = re.compile("[0-9a-f]{32}")


def text(name: str, value: str, most: int) -> str:
    """`value`, which is kept exactly.

    Raises:
        UserError: it has more than `most` characters, or one that cannot be kept.
    """
    if len(value) > most:
        raise UserError(f"{name} has {len(value):,} characters: give at most {most:,}")
    if found := _NOT_KEPT.search(value):
        what = "NUL" if found[0] == "\0" else "half of a surrogate pair"
        raise UserError(f"{name} has {what} ({found[0]!a}) at character {found.start()}: leave it out")
    return value


def packed(name: str, value: Mapping[str, Any], most: int) -> str:
    """`value` as JSON.

    Raises:
        UserError: it is not JSON, nested too deep, or takes more than `most` bytes.
    """
    if _deeper(value, DEPTH):
        raise UserError(f"{name} is nested more than {DEPTH} deep: make it flatter")
    try:
        found = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(found.encode())
    except (TypeError, ValueError) as error:  # a number that is not finite, a surrogate
        raise UserError(f"{name} cannot be kept as JSON ({error}): give finite numbers and whole characters") from error
    if size > most:
        raise UserError(f"{name} takes {size:,} bytes of JSON: give at most {most:,}")
    return found


def is_id(value: str) -> bool:
    """Whether it could be an id at all."""
    return _ID.fullmatch(value) is not None


def _deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [part for whole in level if isinstance(whole, dict | list) for part in _parts(whole)]
    return any(isinstance(part, dict | list) for part in level)


def _parts(whole: dict[str, Any] | list[Any]) -> list[Any]:
    return list(whole.values()) if isinstance(whole, dict) else whole
