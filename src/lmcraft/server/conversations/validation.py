"""The sizes of what the store accepts, and the checks of JSON and ids; `database.check_text` checks texts."""

import json
import re
from collections.abc import Mapping
from typing import Any

from lmcraft.errors import ErrorValues, UserError
from lmcraft.json_lines import is_deeper

MAX_TITLE_CHARS = 200
MAX_SEARCH_CHARS = 200
MAX_NAME_CHARS = 200  # of a model
MAX_REASON_CHARS = 2_000
MAX_CONTENT_CHARS = 1_000_000
MAX_SETTINGS_BYTES = 64 * 2**10  # of JSON
MAX_DETAILS_BYTES = 2**20
MAX_DEPTH = 16  # of nested objects and lists
MAX_MESSAGES = 10_000  # of a conversation
MAX_CONVERSATIONS = 10_000  # of one import
MAX_TIME = 1e11  # seconds since 1970

_ID_PATTERN = re.compile("[0-9a-f]{32}")


def to_json(name: str, value: Mapping[str, Any], max_bytes: int) -> str:
    """`value` as JSON.

    Raises:
        UserError: it is not JSON, is nested too deeply, or takes more than `max_bytes` bytes.
    """
    if is_deeper(value, MAX_DEPTH):
        message = f"{name} is nested more than {MAX_DEPTH} levels deep; flatten it"
        raise UserError(message, code="json_too_deep", values={"field": name, "max": MAX_DEPTH})
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError) as error:  # a number that is not finite, a surrogate
        raise UserError(f"{name} cannot be stored as JSON ({error}); use finite numbers and whole characters") from error
    if size > max_bytes:
        values: ErrorValues = {"field": name, "bytes": size, "max_bytes": max_bytes}
        message = f"{name} takes {size:,} bytes of JSON; give at most {max_bytes:,}"
        raise UserError(message, code="json_too_long", values=values)
    return text


def check_id(value: str) -> str:
    """Return `value` unchanged.

    Raises:
        UserError: it does not have the form of an id.
    """
    if not is_id(value):
        raise UserError(f"id={value[:40]!a} is invalid; use 32 random hexadecimal digits, or leave it out")
    return value


def is_id(value: str) -> bool:
    """Whether a text has the form of an id."""
    return _ID_PATTERN.fullmatch(value) is not None
