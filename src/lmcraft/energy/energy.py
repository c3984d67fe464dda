"""An amount of electricity with the interval in which it lies, by the method that measured it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

JOULES_PER_KWH = 3.6e6
JOULES_PER_WH = 3600.0
MAX_JOULES = 1e20  # the world's electricity of a year
# In the order in which parts are named.
PARTS = ("gpu", "processor", "memory", "rest")
UNITS = ((1e6, "MWh"), (1e3, "kWh"), (1.0, "Wh"), (1e-3, "mWh"), (1e-6, "µWh"))


@dataclass(frozen=True)
class Part:
    """The electricity of one part of the machine."""

    joules: float
    low: float
    high: float
    method: str
    """nvml, rapl, cpu time or flops; several are joined by " + "."""

    def __add__(self, other: "Part") -> "Part":
        return Part(
            self.joules + other.joules,
            self.low + other.low,
            self.high + other.high,
            join_methods(self.method, other.method),
        )

    def scaled(self, share: float) -> "Part":
        """A share of it."""
        return Part(self.joules * share, self.low * share, self.high * share, self.method)


@dataclass(frozen=True)
class Energy:
    """The electricity at the plug that a piece of work drew; cooling of the building is not in it."""

    joules: float = 0.0
    """The best estimate."""
    low: float = 0.0
    high: float = 0.0
    """The interval of the method (docs/energy.md)."""
    method: str = ""
    """nvml, rapl, cpu time or flops; those of several parts are joined by " + "."""
    seconds: float = 0.0
    """On the clock."""
    parts: Mapping[str, Part] = field(default_factory=dict)
    """By name: gpu, processor, memory, rest (board, fans, losses of the power supply)."""

    @classmethod
    def of_parts(cls, parts: Mapping[str, Part], seconds: float) -> "Energy":
        """The sum of parts; their errors are systematic, so their intervals add."""
        ordered = {name: parts[name] for name in PARTS if name in parts}
        total = sum(ordered.values(), Part(0.0, 0.0, 0.0, ""))
        return cls(total.joules, total.low, total.high, total.method, seconds, ordered)

    @property
    def kwh(self) -> float:
        """Kilowatt hours."""
        return self.joules / JOULES_PER_KWH

    def __add__(self, other: "Energy") -> "Energy":
        parts = dict(self.parts)
        for name, part in other.parts.items():
            parts[name] = parts[name] + part if name in parts else part
        return Energy(
            self.joules + other.joules,
            self.low + other.low,
            self.high + other.high,
            join_methods(self.method, other.method),
            self.seconds + other.seconds,
            parts,
        )

    def scaled(self, share: float) -> "Energy":
        """A share of it, of its time, too, so that all shares add up to the whole."""
        return Energy(
            self.joules * share,
            self.low * share,
            self.high * share,
            self.method,
            self.seconds * share,
            {name: part.scaled(share) for name, part in self.parts.items()},
        )

    def as_json(self) -> dict[str, Any]:
        """For files and answers; `from_json` reads it."""
        return {
            "joules": self.joules,
            "low": self.low,
            "high": self.high,
            "kwh": self.kwh,
            "method": self.method,
            "seconds": self.seconds,
            "parts": {
                name: {"joules": part.joules, "low": part.low, "high": part.high, "method": part.method}
                for name, part in self.parts.items()
            },
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Energy":
        """What `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, OverflowError: it is something else.
        """
        parts = {
            str(name): Part(float(part["joules"]), float(part["low"]), float(part["high"]), str(part["method"]))
            for name, part in table["parts"].items()
        }
        joules, low, high, seconds = (float(table[name]) for name in ("joules", "low", "high", "seconds"))
        if not all(0 <= amount < MAX_JOULES for amount in (joules, low, high)):
            raise ValueError(f"{joules} J, between {low} and {high}, are no energy")
        return cls(joules, low, high, str(table["method"]), seconds, parts)


NO_ENERGY = Energy()


def join_methods(*methods: str) -> str:
    """The methods of a sum: each once, in the order of their first use."""
    names = [name for method in methods for name in method.split(" + ") if name]
    return " + ".join(dict.fromkeys(names))


def format_energy(energy: Energy) -> str:
    """For people, in one unit: 12.3 Wh (8.1 to 20.4)."""
    hours = energy.joules / JOULES_PER_WH
    scale, unit = next(((scale, unit) for scale, unit in UNITS if hours >= scale), UNITS[-1])
    joules_per_unit = scale * JOULES_PER_WH
    value, low, high = (format_figure(joules / joules_per_unit) for joules in (energy.joules, energy.low, energy.high))
    return f"{value} {unit} ({low} to {high})" if energy.high > 0 else f"0 {unit}"


def format_figure(value: float) -> str:
    """Three digits, without an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.1g}"
