"""What the work behind a page has drawn, as its last section."""

from collections.abc import Callable
from html import escape
from pathlib import Path

from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
from lmcraft.reports.language import say
from lmcraft.reports.sections.energy import say_method, say_region
from lmcraft.reports.sections.quantities import say_emission_ends, say_emissions, say_energy, say_energy_ends
from lmcraft.reports.table import key_value_rows


def energy_of(folder: Path) -> Callable[[], str]:
    """What writes the section of the page in a folder of results, in the page's language; without energy.json, nothing."""
    record = EnergyRecord.read(folder / ENERGY_FILE)
    return lambda: _section(record)


def _section(record: EnergyRecord) -> str:
    total = record.total
    if total is None or total.energy.method in ("", "none"):
        return ""
    energy, emitted, per_thousand = total.energy, total.emissions, total.per_thousand_queries
    facts = {
        say("energy"): _interval(say_energy(energy.joules), say_energy_ends(energy.low, energy.high)),
        say("measured by"): say_method(energy.method),
        say("emissions"): _interval(say_emissions(emitted.grams), say_emission_ends(emitted.low, emitted.high)),
        say("grid"): f"{say_region(emitted.region)}, {emitted.year}, {emitted.source}",
    }
    if per_thousand is not None:
        hours = (per_thousand.joules, per_thousand.low, per_thousand.high)
        value, low, high = (say_energy(joules) for joules in hours)
        facts[say("per 1,000 items")] = _interval(value, say("{low} to {high}", low=low, high=high))
    if len(record.rows) > 1:
        facts[say("starts")] = f"{len(record.rows):,}"
    note = say("Electricity at the plug, with memory, board and power supply; cooling of the building is not in it.")
    heading = f"<h2>{escape(say('Energy and emissions'))}</h2>"
    return f'{heading}<table>{key_value_rows(facts)}</table><p class="note">{escape(note)}</p>'


def _interval(value: str, ends: str) -> str:
    return say("{value} ({ends})", value=value, ends=ends)
