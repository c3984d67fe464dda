"""The emissions of electricity, by the carbon intensity of a region's grid."""

import csv
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lmcraft.energy.energy import Energy, format_figure
from lmcraft.errors import UserError

VARIABLE = "LMCRAFT_REGION"
TABLE = Path(__file__).with_name("grid.csv")
WORLD = "WORLD"
# The grid of a region emits this much less and more than in its average year: hours, seasons, later years, and methods
# of accounting (docs/energy.md).
REGION_LOW, REGION_HIGH = 0.6, 1.5
UNITS = ((1e6, "t"), (1e3, "kg"), (1.0, "g"), (1e-3, "mg"), (1e-6, "µg"))


@dataclass(frozen=True)
class Grid:
    """A region's electricity."""

    code: str
    """ISO 3166: of a country, or of a state or province as in US-CA; or WORLD."""
    name: str
    year: int
    grams_per_kwh: float
    low: float
    high: float
    source: str


@dataclass(frozen=True)
class Emissions:
    """Greenhouse gases of an amount of electricity, as grams of CO2 (CO2e where the source counts other gases)."""

    grams: float
    low: float
    """From the intervals of the energy and of the grid."""
    high: float
    region: str
    """The code of the grid."""
    year: int
    """Of the table's figure."""
    source: str

    def as_json(self) -> dict[str, Any]:
        """For files and answers; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> "Emissions":
        """What `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        grams, low, high = (float(table[name]) for name in ("grams", "low", "high"))
        return cls(grams, low, high, str(table["region"]), int(table["year"]), str(table["source"]))


def emissions(energy: Energy, region: str = "") -> Emissions:
    """The emissions of an amount of energy.

    Args:
        region: the code or the English name of a country, a state of the USA or a province of China; else that of
            LMCRAFT_REGION; else the average of the world, in the interval of all regions.

    Raises:
        UserError: the table has no such region.
    """
    grid = find_grid(region)
    kwh_per_joule = 1 / 3.6e6
    return Emissions(
        energy.joules * kwh_per_joule * grid.grams_per_kwh,
        energy.low * kwh_per_joule * grid.low,
        energy.high * kwh_per_joule * grid.high,
        grid.code,
        grid.year,
        grid.source,
    )


def find_grid(region: str = "") -> Grid:
    """The grid of a region, by its code or its name in any case; else of LMCRAFT_REGION, else of the world.

    Raises:
        UserError: the table has no such region.
    """
    setting = f"region='{region}'"
    if not region:
        region = os.environ.get(VARIABLE, "")
        setting = f"{VARIABLE}='{region}'"
    name = " ".join(region.split()).casefold()
    if not name:
        return _world()
    grid = _grids().get(name)
    if grid is None:
        raise UserError(
            f"{setting} is no region of the table of grids: use a code as FR, US-CA or CN-GD, or a country's name"
        )
    return grid


@cache
def _grids() -> dict[str, Grid]:
    """By code and by name, in lower case; of two with one name, the country (Georgia)."""
    grids: dict[str, Grid] = {WORLD.casefold(): _world()}
    for row in sorted(_rows(), key=lambda row: "-" in row["code"]):
        grams = float(row["grams_per_kwh"])
        source = _source(row["code"])
        grid = Grid(row["code"], row["name"], int(row["year"]), grams, REGION_LOW * grams, REGION_HIGH * grams, source)
        for key in (row["code"], row["name"]):
            grids.setdefault(key.casefold(), grid)
    return grids


@cache
def _world() -> Grid:
    """The average of all countries by their electricity; its interval reaches from the cleanest region to the dirtiest."""
    rows = _rows()
    countries = [row for row in rows if row["twh"]]
    total = sum(float(row["twh"]) for row in countries)
    mean = sum(float(row["twh"]) * float(row["grams_per_kwh"]) for row in countries) / total
    intensities = [float(row["grams_per_kwh"]) for row in rows]
    year = max(int(row["year"]) for row in countries)
    return Grid(WORLD, "the world's average", year, mean, min(intensities), max(intensities), _source(WORLD))


def _rows() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def _source(code: str) -> str:
    """Who published the figure of a grid."""
    if code.startswith("US-"):
        return "EPA eGRID"
    if code.startswith("CN-"):
        return "Ministry of Ecology and Environment of China"
    return "Our World in Data (Ember, Energy Institute)"


def format_emissions(emitted: Emissions) -> str:
    """For people: 5.9 g CO2e (0.2 to 27) on the grid of FR, 2023."""
    scale, unit = next(((scale, unit) for scale, unit in UNITS if emitted.grams >= scale), UNITS[-1])
    value, low, high = (format_figure(grams / scale) for grams in (emitted.grams, emitted.low, emitted.high))
    interval = f" ({low} to {high})" if emitted.high > 0 else ""
    where = "the world's average grid" if emitted.region == WORLD else f"the grid of {emitted.region}"
    return f"{value} {unit} CO2e{interval}, {where}, {emitted.year}"
