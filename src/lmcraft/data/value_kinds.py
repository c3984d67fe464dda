"""What a value is that should be text, for errors."""

from decimal import Decimal
from math import isfinite
from typing import Any

from lmcraft.data.missing import describe_empty, is_empty


def describe_value(value: Any) -> str:
    """What a value that is not text is, to follow "is"."""
    if is_empty(value):
        return describe_empty(value)
    if isinstance(value, bytes):
        return "bytes that are not UTF-8" + _first_invalid_byte(value)
    kinds: dict[type, str] = {dict: "an object", list: "a list", bool: "true or false"}
    if isinstance(value, int | float | Decimal) and type(value) not in kinds:
        return f"the number {value}" if isfinite(value) else str(value)
    return kinds.get(type(value), f"of type {type(value).__name__}")


def _first_invalid_byte(contents: bytes) -> str:
    try:
        contents.decode()
    except UnicodeDecodeError as error:
        return f" (byte {error.start + 1} is 0x{contents[error.start]:02x})"
    return ""
