"""The axes of charts: where a value lies, and at which round numbers there are ticks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Self
from unicodedata import east_asian_width

from lmcraft.terminal import format_count

MAX_NAME_LENGTH = 28  # characters
MAX_PLAIN_NUMBER = 1_000_000
SMALLEST_PLAIN = 0.01
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


def format_alike(*numbers: float) -> list[str]:
    """Numbers to compare, with the same decimals: three digits of the largest."""
    largest = max(abs(number) for number in numbers)
    if not isfinite(largest) or largest >= MAX_PLAIN_NUMBER or 0 < largest < SMALLEST_PLAIN:
        return [f"{number:.3g}" for number in numbers]
    if all(number == round(number) for number in numbers):
        return [f"{number:,.0f}" for number in numbers]
    decimals = min(3, max(0, 2 - floor(log10(largest))))
    return [f"{number:,.{decimals}f}" for number in numbers]


def text_width(text: str) -> int:
    """The width of a text in Latin characters; a Chinese one counts twice."""
    return len(text) + sum(east_asian_width(character) in "WF" for character in text)


def shorten(text: str, length: int = MAX_NAME_LENGTH) -> str:
    """The beginning and the end of a text that is too long."""
    if text_width(text) <= length:
        return text
    return f"{_prefix(text, (length - 1) // 2)}…{_prefix(text[::-1], length // 2)[::-1]}"


def _prefix(text: str, length: int) -> str:
    """The longest beginning of a text that is not wider."""
    for end in range(min(len(text), length), 0, -1):
        if text_width(text[:end]) <= length:
            return text[:end]
    return ""


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
