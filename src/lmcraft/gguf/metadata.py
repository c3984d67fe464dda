"""Typed access to the metadata of a GGUF file."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.errors import UserError

MAX_COUNT = 2**31 - 1


class Metadata(Mapping[str, Any]):
    """The metadata of a file: numbers, flags, strings, lists of strings, and NumPy arrays of numbers."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = values
        self._checked: set[str] = set()  # keys whose long lists are known to hold strings only

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, key: str) -> str | None:
        """A string; None if the key is missing, as in the other methods.

        Raises:
            UserError: the value has another type, as in the other methods.
        """
        value: str | None = self._typed(key, str, "a string")
        return value

    def flag(self, key: str) -> bool | None:
        value: bool | None = self._typed(key, bool, "true or false")
        return value

    def count(self, key: str, *, minimum: int = 0) -> int | None:
        """An integer from `minimum` to 2**31 - 1."""
        value: int | None = self._typed(key, int, "a whole number")
        if value is not None and not minimum <= value <= MAX_COUNT:
            raise self.invalid(key, f"{value} is not between {minimum} and {MAX_COUNT}")
        return value

    def number(self, key: str) -> float | None:
        """A finite number. A 32-bit 0.00001 is returned as 0.00001, not as 0.0000099999997."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | np.float32) or not math.isfinite(value):
            raise self.invalid(key, f"{_describe(value)} is not a finite number")
        return float(str(value)) if isinstance(value, np.float32) else float(value)

    def texts(self, key: str) -> list[str] | None:
        value: list[str] | None = self._typed(key, list, "a list of strings")
        if value is not None and key not in self._checked:
            if not {*map(type, value)} <= {str}:
                raise self.invalid(key, "it is not a list of strings")
            self._checked.add(key)
        return value

    def numbers(self, key: str) -> np.ndarray[Any, Any] | None:
        """An array of finite numbers."""
        value: np.ndarray[Any, Any] | None = self._typed(key, np.ndarray, "an array of numbers")
        if value is not None and (value.dtype == bool or not np.isfinite(value).all()):
            raise self.invalid(key, "it is not an array of finite numbers")
        return value

    def invalid(self, key: str, problem: str) -> UserError:
        """The error for an invalid value."""
        return UserError(
            f"'{self.path}' cannot be read: its key '{key}' is invalid ({problem}); download or convert the model again"
        )

    def _typed(self, key: str, kind: type, name: str) -> Any:
        value = self._values.get(key)
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise self.invalid(key, f"{_describe(value)} is not {name}")
        return value


def _describe(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | np.ndarray) else repr(value)[:60]
