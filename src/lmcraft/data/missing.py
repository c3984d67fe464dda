"""Values that stand for a missing one: null, NaN, blank text, and the cells of a CSV file that spell one of them."""

from dataclasses import dataclass
from decimal import Decimal
from math import isnan
from typing import Any

# As pandas, spreadsheets and databases write an empty cell. "None", "null", "NA" and "N/A" may be meant as text or labels.
MISSING_SPELLINGS = ("nan", "NaN", "-nan", "-NaN", "<NA>", "#N/A", "#NA", "NULL")


@dataclass(frozen=True)
class MissingCell:
    """A cell of a CSV file whose text is one of `MISSING_SPELLINGS`."""

    text: str


def is_empty(value: Any) -> bool:
    """Whether there is no value: null, NaN, such a cell, or a text without a visible character."""
    return (
        value is None
        or isinstance(value, MissingCell)
        or (isinstance(value, float | Decimal) and isnan(value))
        or (isinstance(value, str) and not value.strip())
    )


def describe_empty(value: Any) -> str:
    """What an empty value is, to follow "is"."""
    if value is None or isinstance(value, str):
        return "empty"
    spelling = repr(value.text) if isinstance(value, MissingCell) else "NaN"
    return f"{spelling}, which stands for a missing value"
