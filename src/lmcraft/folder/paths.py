"""Paths as callers in Python have them."""

import os
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError


def to_path(value: Any, setting: str) -> Path:
    """A path from a text or any path-like object, with `~` expanded.

    Raises:
        UserError: it is neither, or no path of this system.
    """
    try:
        text = os.fsdecode(value)
    except TypeError as error:
        raise UserError(f"{setting}={value!r} is not a path: give its path as text") from error
    if not text or "\0" in text:
        raise UserError(f"{setting}={text!r} is {'not a valid path' if text else 'empty'}: give a path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # there is no such user
        raise UserError(f"{setting}={text!r} is not a valid path ({error}): give another one") from error
