"""The axes of charts: where a value lies, and at which round numbers there are ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Self

from lmcraft.terminal import format_count

MAX_NAME_LENGTH = 28  # characters
MAX_PLAIN_NUMBER = 1_000_000
SAME = 1e-9  # relative difference of numbers that an axis does not tell apart
MIN_SPAN = 1e-290  # far enough from the smallest number that a step is not 0


@dataclass(frozen=True)
class Axis:
    """A scale with its ticks."""

    label: str
    ticks: Sequence[tuple[float, str]]
    """Values, and what stands beside them."""
    low: float
    high: float
    log: bool = False
    is_named: bool = False
    """Whether 0, 1, 2 and so on stand for names."""

    @classmethod
    def of_numbers(cls, label: str, values: Sequence[float], *, log: bool = False, count: int = 5) -> Self:
        """An axis from a round number below the values to one above; with `log` all of them must be positive."""
        marks = log_ticks(min(values), max(values)) if log else ticks(min(values), max(values), count)
        texts = [format_count(mark) if log or abs(mark) >= MAX_PLAIN_NUMBER else f"{mark:,g}" for mark in marks]
        return cls(label, list(zip(marks, texts, strict=True)), marks[0], marks[-1], log)

    @classmethod
    def of_names(cls, label: str, names: Sequence[str]) -> Self:
        """An axis on which the names are at 0, 1, 2 and so on."""
        return cls(label, [(n, shorten(name)) for n, name in enumerate(names)], -0.5, len(names) - 0.5, is_named=True)

    def say_value(self, value: float) -> str:
        """A value as a text: its name, or the number."""
        return dict(self.ticks).get(round(value), "") if self.is_named else format_number(value)

    def share(self, value: float) -> float:
        """Where a value is, from 0 at the lower end to 1; values beyond an end are at the end."""
        low, high, at = (log10(x) if self.log else x for x in (self.low, self.high, max(value, self.low)))
        return min(1.0, (at - low) / (high - low)) if isfinite(at) else 1.0


def format_number(number: float) -> str:
    """Four digits of a number; whole ones below a million have all theirs."""
    return f"{number:,.0f}" if number == round(number) and abs(number) < MAX_PLAIN_NUMBER else f"{number:,.4g}"


def shorten(text: str, length: int = MAX_NAME_LENGTH) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[-(length // 2) :]}"


def ticks(low: float, high: float, target_count: int = 5) -> list[float]:
    """About `target_count` round numbers, the first at most `low` and the last at least `high`."""
    span = high - low
    if span <= max(SAME * max(abs(low), abs(high)), MIN_SPAN):
        span = abs(high) if abs(high) > MIN_SPAN else 1.0
    power: float = 10 ** floor(log10(span / target_count))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= target_count)
    first, last = floor(low / step), ceil(high / step)
    return [i * step for i in range(first, max(last, first + 1) + 1)]


def log_ticks(low: float, high: float, max_ticks: int = 9) -> list[float]:
    """Powers of ten from below `low` to above `high`, with 2 and 5 times these unless they exceed `max_ticks`."""
    first, last = floor(log10(low)), ceil(log10(high))
    for marks in ((1, 2, 5), (1,)):
        candidates = [mark * 10.0**power for power in range(first, last + 1) for mark in marks]
        below = max(n for n, tick in enumerate(candidates) if tick <= low * (1 + 1e-9))
        above = min(n for n, tick in enumerate(candidates) if tick >= high * (1 - 1e-9))
        enclosing = candidates[below : max(above, below + 1) + 1]
        if len(enclosing) <= max_ticks:
            break
    return enclosing
