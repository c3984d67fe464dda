"""The keys and values of a GGUF file, each taken out as the type that the reader expects."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lmcraft.errors import UserError

LARGEST = 2**31 - 1


class Metadata(Mapping[str, Any]):
    """What a file says about itself: numbers, flags and texts; lists of texts; arrays of numbers as NumPy's."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self.path = path
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def text(self, key: str) -> str | None:
        """A text, None where the key is missing; so with the others.

        Raises:
            UserError: the value is something else; so with the others.
        """
        value: str | None = self._of(key, str, "a text")
        return value

    def flag(self, key: str) -> bool | None:
        value: bool | None = self._of(key, bool, "true or false")
        return value

    def count(self, key: str, *, least: int = 0) -> int | None:
        """A whole number of at least `least` and at most 2**31 - 1."""
        value: int | None = self._of(key, int, "a whole number")
        if value is not None and not least <= value <= LARGEST:
            raise self.wrong(key, f"{value} is outside {least} to {LARGEST}")
        return value

    def number(self, key: str) -> float | None:
        """A finite number. The file keeps 32 bits of it: 0.00001 comes back as itself, not as 0.0000099999997."""
        value = self._values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | np.float32) or not math.isfinite(value):
            raise self.wrong(key, f"{_shown(value)} is not a finite number")
        return float(str(value)) if isinstance(value, np.float32) else float(value)

    def texts(self, key: str) -> list[str] | None:
        value: list[str] | None = self._of(key, list, "a list of texts")
        if value is not None and not all(isinstance(entry, str) for entry in value):
            raise self.wrong(key, "it is not a list of texts")
        return value

    def numbers(self, key: str) -> np.ndarray[Any, Any] | None:
        """An array of finite numbers."""
        value: np.ndarray[Any, Any] | None = self._of(key, np.ndarray, "an array of numbers")
        if value is not None and (value.dtype == bool or not np.isfinite(value).all()):
            raise self.wrong(key, "it is not an array of finite numbers")
        return value

    def wrong(self, key: str, what: str) -> UserError:
        """The error for a value that makes no sense."""
        return UserError(
            f"'{self.path}' cannot be read: its key '{key}' is wrong ({what}); fetch or convert the model again"
        )

    def _of(self, key: str, kind: type, name: str) -> Any:
        value = self._values.get(key)
        if value is not None and (not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)):
            raise self.wrong(key, f"{_shown(value)} is not {name}")
        return value


def _shown(value: Any) -> str:
    return f"{type(value).__name__} of {len(value)}" if isinstance(value, list | np.ndarray) else repr(value)[:60]
