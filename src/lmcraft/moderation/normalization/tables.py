"""The tables in `tables/`."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def simplified_characters() -> Mapping[str, str]:
    """Of each traditional character its simplified form, after the General List of Simplified Chinese Characters of 1986."""
    pairs = "".join(read_table("traditional.txt"))
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def read_table(name: str) -> list[str]:
    """The words of a table; lines with "#" are comments."""
    lines = (files(__package__) / "tables" / name).read_text(encoding="utf-8").splitlines()
    return [entry for line in lines if not line.startswith("#") for entry in line.split()]
