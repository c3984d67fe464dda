"""Checksums of python-stdnum, which the extra `privacy` installs."""

from functools import cache
from typing import Any

from lmcraft.extras import import_optional


def has_checksum(scheme: str, number: str) -> bool:
    """Whether a number is valid.

    Args:
        scheme: a module of stdnum, such as "luhn" or "gb.nhs".
        number: with or without separators.
    """
    return bool(_module(f"stdnum.{scheme}").is_valid(number))


@cache
def _module(name: str) -> Any:
    return import_optional(name, "privacy", "scrubbing")
