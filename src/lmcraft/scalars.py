"""Single numbers as callers in Python have them: NumPy's, torch's, decimals and fractions."""

from decimal import Decimal
from numbers import Rational
from operator import index
from typing import Any


def as_python(value: Any) -> Any:
    """A single value of NumPy or torch, and any other kind of number, in Python's own types; other values unchanged."""
    if hasattr(value, "ndim"):
        return value.item() if value.ndim == 0 else value
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal | Rational):
        number = float(value)
        return int(number) if number.is_integer() else number
    return index(value) if hasattr(value, "__index__") and not isinstance(value, type) else value
