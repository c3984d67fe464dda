"""Times and amounts of energy in settings, written with their units: `10m`, `1h30m`, `0.2kWh`."""

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self

NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?"
DIGITS = 14  # of a number that a text gives, whatever its unit


class Quantity(float):
    """A number in its base unit, which is never negative; as text it has a unit, and `read` gives the same number again."""

    units: ClassVar[Mapping[str, float]]
    """The base unit first."""
    plain_unit: ClassVar[str] = ""
    """That of a number without a unit; empty: such a number is refused."""
    takes: ClassVar[str]
    """What a setting of this type takes, for errors."""

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """A quantity as flags, files and Python give it; None if it is none. 0, with or without a unit, is 0."""
        if isinstance(value, cls):
            return value
        if isinstance(value, bool | Quantity) or not isinstance(value, str | int | float):
            return None
        text = (value if isinstance(value, str) else repr(value)).strip().lower()
        if re.fullmatch(NUMBER, text) and (cls.plain_unit or not float(text)):
            text += (cls.plain_unit or next(iter(cls.units))).lower()
        factors = {unit.lower(): factor for unit, factor in cls.units.items()}
        names = "|".join(sorted(factors, key=len, reverse=True))
        if not re.fullmatch(rf"(?:{NUMBER} *(?:{names}) *)+", text):
            return None
        parts = re.findall(rf"({NUMBER}) *({names})", text)
        total = sum(float(number) * factors[unit] for number, unit in parts)
        return cls(f"{total:.{DIGITS}g}") if math.isfinite(total) else None

    def __str__(self) -> str:
        """The shortest text with a number of at least 1 that gives the same number again; of several, the last unit's."""
        texts = [f"{float(self) / factor:.{DIGITS}g}{unit}" for unit, factor in self.units.items() if self >= factor]
        exact = [text for text in reversed(texts) if self.read(text) == self]
        return min(exact, key=len, default=f"{repr(float(self)).removesuffix('.0')}{next(iter(self.units))}")

    __repr__ = __str__

    def __format__(self, spec: str) -> str:
        return format(float(self), spec) if spec else str(self)


class Duration(Quantity):
    """Seconds."""

    units: ClassVar[Mapping[str, float]] = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
    plain_unit = "m"
    takes = "a duration: write 30s, 10m, 1.5h or 2d (a number without a unit is in minutes)"


class Age(Duration):
    """Seconds, too, of which a number without a unit is refused: it would delete far more than was meant."""

    plain_unit = ""
    takes = "a duration with its unit: write 12h or 30d"


class EnergyAmount(Quantity):
    """Joules."""

    units: ClassVar[Mapping[str, float]] = {"J": 1.0, "mWh": 3.6, "kJ": 1e3, "MJ": 1e6, "Wh": 3.6e3, "kWh": 3.6e6}
    takes = "an amount of energy: write it with its unit, as 50Wh, 0.2kWh, 900J or 1.5MJ"
