"""Energy and emissions of a run, and of what was measured later."""

from lmcraft.energy.energy import MAX_JOULES
from lmcraft.folder.names import RUN
from lmcraft.reports.evidence.figure import Figure, Record, Records, number, text
from lmcraft.reports.evidence.record import EnergyUse

FILE = f"{RUN}/energy.json"
LATER = {"evaluation": f"{RUN}/evaluations/energy.json", "safety audit": f"{RUN}/safety/energy.json"}


def read_energy(records: Records) -> EnergyUse | None:
    """The energy of the run; None if it was not counted."""
    return _read(records, FILE, "energy")


def read_later_energy(records: Records) -> dict[str, EnergyUse]:
    """The energy of evaluations and audits, by kind."""
    entries = {kind: _read(records, file, f"energy.{kind}") for kind, file in LATER.items()}
    return {kind: entry for kind, entry in entries.items() if entry is not None}


def _read(records: Records, file: str, id: str) -> EnergyUse | None:
    record = records.json(file)
    if record is None:
        return None
    energy = _joules(record, id, "joules", "total", "energy")
    if energy is None:
        return None
    path = ("total", "emissions")
    year = record.get(*path, "year")
    return EnergyUse(
        energy=energy,
        emissions=record.figure(f"{id}.emissions", "grams of CO2 equivalent", *path, "grams", **_ends(record, *path)),
        method=text(record.get("total", "energy", "method")),
        region=text(record.get(*path, "region")),
        year=str(year) if isinstance(year, int | str) else "",
        source=text(record.get(*path, "source")),
        per_token=record.figure(f"{id}.per_token", "joules per token", "total", "joules_per_token"),
        per_1000_queries=record.figure(f"{id}.per_1000_queries", "Wh per 1,000 queries", "total", "wh_per_1000_queries"),
        wasted=record.figure(f"{id}.wasted", "share of steps that do not count", "total", "share_wasted"),
        rows=[row for row in record.array("runs") if isinstance(row, dict)],
        file=file,
    )


def _joules(record: Record, id: str, name: str, *path: str) -> Figure | None:
    figure = record.figure(f"{id}.joules", name, *path, "joules", **_ends(record, *path))
    is_energy = figure is not None and not isinstance(figure.value, str) and 0 <= figure.value < MAX_JOULES
    return figure if is_energy else None


def _ends(record: Record, *path: str) -> dict[str, float | None]:
    return {end: number(record.get(*path, end)) for end in ("low", "high")}
