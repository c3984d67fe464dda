"""energy.json: what each start of a run, an evaluation or other work has drawn, and all of them together."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from lmcraft.energy.carbon import Emissions, emissions
from lmcraft.energy.energy import JOULES_PER_WH, NO_ENERGY, Energy
from lmcraft.errors import UserError
from lmcraft.folder import names, read_json, write_json

ENERGY_FILE = names.ENERGY
REPEATED = "repeated steps"  # that a resumed run had done before: a reason of waste


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass(frozen=True)
class EnergyRow:
    """What one start of a command has drawn, or several together."""

    kind: str
    """The command, such as pretrain or evaluate."""
    energy: Energy
    emissions: Emissions
    tokens: int = 0
    """Trained on, or generated."""
    steps: int = 0
    queries: int = 0
    """Items, prompts or requests that were answered."""
    wasted: Mapping[str, float] = field(default_factory=dict)
    """Joules that came to nothing, by the reason."""
    forecast: Energy | None = None
    """What was expected before the start."""
    started: str = field(default_factory=_now)
    id: str = field(default_factory=lambda: uuid4().hex)

    @classmethod
    def of(cls, kind: str, energy: Energy, **numbers: Any) -> Self:
        """With the emissions of the region in which this machine is, by the table; `numbers` are further fields."""
        return cls(kind, energy, emissions(energy), **numbers)

    @property
    def share_wasted(self) -> float:
        """The share of the energy that came to nothing."""
        return min(1.0, sum(self.wasted.values()) / self.energy.joules) if self.energy.joules else 0.0

    @property
    def joules_per_token(self) -> float | None:
        """None without tokens."""
        return self.energy.joules / self.tokens if self.tokens else None

    @property
    def per_thousand_queries(self) -> Energy | None:
        """The energy of 1,000 queries; None without queries."""
        return self.energy.scaled(1000 / self.queries) if self.queries else None

    def as_json(self) -> dict[str, Any]:
        """For energy.json; `from_json` reads it."""
        per_thousand = self.per_thousand_queries
        return {
            "id": self.id,
            "kind": self.kind,
            "started": self.started,
            "energy": self.energy.as_json(),
            "emissions": self.emissions.as_json(),
            "tokens": self.tokens,
            "steps": self.steps,
            "queries": self.queries,
            "wasted": {"joules": sum(self.wasted.values()), "why": dict(self.wasted)},
            "forecast": None if self.forecast is None else self.forecast.as_json(),
            "kwh": self.energy.kwh,
            "joules_per_token": self.joules_per_token,
            "wh_per_1000_queries": None if per_thousand is None else per_thousand.joules / JOULES_PER_WH,
            "share_wasted": self.share_wasted,
        }

    @classmethod
    def from_json(cls, table: Mapping[str, Any]) -> Self:
        """What `as_json` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: it is something else.
        """
        forecast = table["forecast"]
        return cls(
            kind=str(table["kind"]),
            energy=Energy.from_json(table["energy"]),
            emissions=Emissions.from_json(table["emissions"]),
            tokens=int(table["tokens"]),
            steps=int(table["steps"]),
            queries=int(table["queries"]),
            wasted={str(why): float(joules) for why, joules in table["wasted"]["why"].items()},
            forecast=None if forecast is None else Energy.from_json(forecast),
            started=str(table["started"]),
            id=str(table["id"]),
        )


@dataclass(frozen=True)
class EnergyRecord:
    """The rows of an energy.json, in the order of their starts."""

    rows: Sequence[EnergyRow] = ()

    @classmethod
    def read(cls, file: Path) -> Self:
        """The record in a file; without the file, an empty one.

        Raises:
            UserError: the file is damaged, or something else.
        """
        if not file.exists():
            return cls()
        table = read_json(file)
        try:
            return cls([EnergyRow.from_json(row) for row in table["runs"]])
        except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
            raise UserError(f"'{file}' is no record of energy; move it away, and the next run writes a new one") from error

    def with_row(self, row: EnergyRow) -> "EnergyRecord":
        """The record with a row at the end, or in place of the one with the same id."""
        if any(other.id == row.id for other in self.rows):
            return EnergyRecord([row if other.id == row.id else other for other in self.rows])
        return EnergyRecord([*self.rows, row])

    def write(self, file: Path) -> None:
        """Write the file atomically."""
        total = self.total
        write_json(file, {"runs": [row.as_json() for row in self.rows], "total": total and total.as_json()})

    @property
    def total(self) -> EnergyRow | None:
        """All rows together; None without rows. Its forecast is that of the first row, which is for the whole work."""
        if not self.rows:
            return None
        wasted: Counter[str] = Counter()
        for row in self.rows:
            wasted.update(row.wasted)
        return EnergyRow(
            kind=" + ".join(dict.fromkeys(row.kind for row in self.rows)),
            energy=sum((row.energy for row in self.rows), NO_ENERGY),
            emissions=_add([row.emissions for row in self.rows]),
            tokens=sum(row.tokens for row in self.rows),
            steps=sum(row.steps for row in self.rows),
            queries=sum(row.queries for row in self.rows),
            wasted=dict(wasted),
            forecast=self.rows[0].forecast,
            started=self.rows[0].started,
            id="total",
        )


def _add(parts: Sequence[Emissions]) -> Emissions:
    """The sum of emissions, which may be those of several regions and years."""
    regions, sources = (dict.fromkeys(getattr(part, name) for part in parts) for name in ("region", "source"))
    return Emissions(
        sum(part.grams for part in parts),
        sum(part.low for part in parts),
        sum(part.high for part in parts),
        " + ".join(regions),
        max(part.year for part in parts),
        "; ".join(sources),
    )
