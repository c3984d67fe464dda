"""What a meter has counted at one time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lmcraft.energy.energy import Energy, Part
from lmcraft.energy.ranges import NOTHING, Range

# By the part of the machine and the rung that measured it.
Drawn = Mapping[tuple[str, str], Range]


@dataclass(frozen=True)
class Reading:
    """The counters at one time."""

    seconds: float
    """On a clock that does not go back."""
    processor_seconds: float
    """Of this process and its descendants."""
    drawn: Drawn = field(default_factory=dict)
    """Joules of this process and its descendants since the meter was opened."""


def add_drawn(first: Drawn, second: Drawn) -> dict[tuple[str, str], Range]:
    """The sum of two."""
    return {key: first.get(key, NOTHING) + second.get(key, NOTHING) for key in {**first, **second}}


def energy_between(since: Reading, until: Reading) -> Energy:
    """What was drawn between two readings."""
    drawn = {key: _difference(after, since.drawn.get(key, NOTHING)) for key, after in until.drawn.items()}
    return energy_of(drawn, max(0.0, until.seconds - since.seconds))


def energy_of(drawn: Drawn, seconds: float) -> Energy:
    """With the parts of which something was drawn."""
    parts: dict[str, Part] = {}
    for (name, method), joules in drawn.items():
        if joules.high > 0:
            part = Part(joules.best, joules.low, joules.high, method)
            parts[name] = parts[name] + part if name in parts else part
    return Energy.of_parts(parts, seconds)


def _difference(after: Range, before: Range) -> Range:
    """Not negative: a short time's first estimate may have been higher than its last."""
    best = max(0.0, after.best - before.best)
    return Range(min(best, max(0.0, after.low - before.low)), best, max(best, after.high - before.high))
