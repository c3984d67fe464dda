"""Amounts with units and intervals, and links to the files of a model folder."""

import re
from collections.abc import Callable, Sequence
from html import escape
from math import isfinite
from urllib.parse import quote

from lmcraft.energy.carbon import UNITS as GRAM_UNITS
from lmcraft.energy.energy import JOULES_PER_WH, format_figure
from lmcraft.energy.energy import UNITS as HOUR_UNITS
from lmcraft.reports.chart_text import say_interval
from lmcraft.reports.evidence import Figure
from lmcraft.reports.language import say

CODE = re.compile("`([^`]+)`")
Units = Sequence[tuple[float, str]]
"""How much of a quantity each unit is, the largest first."""


def energy_unit(joules: float) -> tuple[float, str]:
    """The joules of the unit in which an amount is told, and its name."""
    scale, unit = _unit(joules / JOULES_PER_WH, HOUR_UNITS)
    return scale * JOULES_PER_WH, unit


def say_energy(joules: float) -> str:
    """An amount of energy: 12.3 Wh."""
    return _say(joules / JOULES_PER_WH, HOUR_UNITS)


def say_emissions(grams: float) -> str:
    """An amount of emissions: 5.9 g CO2e."""
    return f"{_say(grams, GRAM_UNITS)} CO\N{SUBSCRIPT TWO}e"


def say_energy_ends(low: float | None, high: float | None) -> str:
    """The ends of an interval of energy; empty if it has none."""
    return _ends(low, high, say_energy)


def say_emission_ends(low: float | None, high: float | None) -> str:
    """The ends of an interval of emissions; empty if it has none."""
    return _ends(low, high, say_emissions)


def say_figure(figure: Figure) -> str:
    """A figure with its interval."""
    value = numeric(figure)
    if value is None or isinstance(figure.value, int):
        return say_number(figure.value)
    return say_interval(value, figure.low, figure.high)


def say_number(number: float | str, digits: int = 4) -> str:
    """A number in so many digits; a text as it is."""
    if isinstance(number, str):
        return number
    if isinstance(number, int):
        return f"{number:,}" if abs(number) < 1e15 else f"{float(number) if abs(number) < 1e300 else 1e300:.{digits}g}"
    return f"{number:,.{digits}g}" if isfinite(number) else say("no finite value")


def numeric(figure: Figure | None) -> float | None:
    """The finite number of a figure; None if there is none."""
    if figure is None or isinstance(figure.value, str) or not abs(figure.value) < 1e300:
        return None
    return float(figure.value)


def link_file(file: str) -> str:
    """A link from the report to a file of the model folder, whose path is relative to that folder."""
    return f'<a href="../{escape(quote(file))}"><code>{escape(file)}</code></a>'


def mark_code(text: str) -> str:
    """A text of ours as HTML, with `commands` as code."""
    return CODE.sub(r"<code>\1</code>", escape(text))


def _unit(amount: float, units: Units) -> tuple[float, str]:
    return next(((scale, unit) for scale, unit in units if abs(amount) >= scale), units[-1])


def _say(amount: float, units: Units) -> str:
    if not amount:
        return f"0 {next(unit for scale, unit in units if scale == 1)}"
    scale, unit = _unit(amount, units)
    return f"{format_figure(amount / scale)} {unit}"


def _ends(low: float | None, high: float | None, name: Callable[[float], str]) -> str:
    if low is None or high is None:
        return ""
    return say("{low} to {high}", low=name(low), high=name(high))
