"""The energy of a run: over its steps, by part of the machine and by start; its emissions, and those of what came later."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lmcraft.energy.carbon import WORLD
from lmcraft.energy.energy import NO_ENERGY, Energy
from lmcraft.energy.record import EnergyRecord, EnergyRow
from lmcraft.reports.chart import Interval, Series, interval_chart, line_chart
from lmcraft.reports.evidence import EnergyUse, Evidence
from lmcraft.reports.language import enumerate_texts, say
from lmcraft.reports.sections.curves import points_of
from lmcraft.reports.sections.quantities import (
    energy_unit,
    link_file,
    numeric,
    say_emission_ends,
    say_emissions,
    say_energy,
    say_energy_ends,
    say_number,
)
from lmcraft.reports.table import html_table, key_value_rows

MAX_STARTS = 100  # shown


def energy_section(evidence: Evidence) -> str:
    """Charts and tables of the training's energy, and of evaluations and audits."""
    use = evidence.energy
    parts = [] if use is None else [_summary(use), _curve(evidence), _by_part(use), _starts(use), _source(use)]
    if evidence.later_energy:
        parts += [f"<h3>{say('Evaluations and audits')}</h3>", _later(evidence.later_energy)]
    return "".join(parts)


def rows_of(use: EnergyUse) -> list[EnergyRow]:
    """The starts that can be read."""
    rows = []
    for table in use.rows:
        try:
            rows.append(EnergyRow.from_json(table))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue
    return rows


def _reasons(rows: Sequence[EnergyRow]) -> list[str]:
    """Why energy came to nothing, each once."""
    return list(dict.fromkeys(why for row in rows for why, joules in row.wasted.items() if joules > 0))


def say_region(code: str) -> str:
    """The grid of a region."""
    return say("world average") if code == WORLD else code


def say_method(method: str) -> str:
    """How energy was measured, in words."""
    names = {
        "nvml": say("counter of the GPU (NVML)"),
        "rapl": say("counters of the processor (RAPL)"),
        "cpu time": say("processor time and a table of processors' power"),
        "flops": say("number of operations and a table of energy per operation"),
    }
    return "; ".join(names.get(part, part) for part in method.split(" + ") if part)


def _summary(use: EnergyUse) -> str:
    """The main figures."""
    facts = {say("energy"): _with_ends(say_energy, numeric(use.energy), say_energy_ends(use.energy.low, use.energy.high))}
    facts[say("measured by")] = say_method(use.method)
    if (emissions := use.emissions) is not None:
        ends = say_emission_ends(emissions.low, emissions.high)
        facts[say("emissions")] = _with_ends(say_emissions, numeric(emissions), ends)
        facts[say("grid")] = enumerate_texts((say_region(use.region), use.year, use.source))
    if (per_token := numeric(use.per_token)) is not None:
        facts[say("per token")] = say("{joules} J", joules=say_number(per_token, 3))
    if (share := numeric(use.wasted)) is not None:
        reasons = enumerate_texts(say(why) for why in _reasons(rows_of(use)))
        facts[say("spent on steps that do not count")] = (
            say("{value} ({ends})", value=f"{share:.1%}", ends=reasons) if reasons else f"{share:.1%}"
        )
    if (forecast := _forecast(use)) is not None and forecast.joules > 0:
        ratio = (numeric(use.energy) or 0.0) / forecast.joules
        facts[say("forecast")] = say(
            "{energy}; measured: {ratio} of it", energy=say_energy(forecast.joules), ratio=f"{ratio:.0%}"
        )
    note = say("Electricity at the plug, with memory, board and power supply; cooling of the building is not in it.")
    return f'<table>{key_value_rows(facts)}</table><p class="note">{escape(note)}</p>'


def _with_ends(name: Any, value: float | None, ends: str) -> str:
    text = say("no finite value") if value is None else name(value)
    return say("{value} ({ends})", value=text, ends=ends) if ends else text


def _forecast(use: EnergyUse) -> Energy | None:
    total = EnergyRecord(rows_of(use)).total
    return None if total is None else total.forecast


def _curve(evidence: Evidence) -> str:
    """The energy that was drawn until each step."""
    points = points_of(evidence.training.rows, "joules") if evidence.training is not None else []
    if not points:
        return ""
    joules, unit = energy_unit(max(y for _, y in points))
    series = [Series("", "a", [(x, y / joules) for x, y in points])]
    chart = line_chart(series, x_label=say("step"), y_label=say("cumulative energy ({unit})", unit=unit))
    return f"<h3>{say('Over the run')}</h3>{chart}"


def _by_part(use: EnergyUse) -> str:
    """The energy of each part of the machine, with its interval and its method."""
    total = sum((row.energy for row in rows_of(use)), NO_ENERGY)
    if not total.parts:
        return ""
    joules_per_unit, unit = energy_unit(total.joules)
    names = {
        "gpu": say("GPU"),
        "processor": say("processor"),
        "memory": say("memory"),
        "rest": say("board, fans, power supply"),
    }
    bars = [
        Interval(names.get(name, name), *(x / joules_per_unit for x in (part.joules, part.low, part.high)))
        for name, part in total.parts.items()
    ]
    whole = Interval(say("all"), *(x / joules_per_unit for x in (total.joules, total.low, total.high)))
    rows = [[names.get(name, name), say_method(part.method)] for name, part in total.parts.items()]
    heading = f"<h3>{say('By part of the machine')}</h3>"
    chart = interval_chart([*bars, whole], x_label=say("energy ({unit})", unit=unit))
    return f"{heading}{chart}{html_table([say('part'), say('measured by')], rows)}"


def _starts(use: EnergyUse) -> str:
    """A row for each start of a run that was interrupted and resumed."""
    rows = rows_of(use)
    if len(rows) < 2:
        return ""
    head = [say("started"), say("steps"), say("tokens"), say("energy"), say("interval"), say("emissions"), say("wasted")]
    cells = [
        [
            row.started,
            f"{row.steps:,}",
            f"{row.tokens:,}",
            say_energy(row.energy.joules),
            say_energy_ends(row.energy.low, row.energy.high),
            say_emissions(row.emissions.grams),
            f"{row.share_wasted:.1%}",
        ]
        for row in rows[:MAX_STARTS]
    ]
    return f"<h3>{say('By start')}</h3>{html_table(head, cells)}"


def _source(use: EnergyUse) -> str:
    return f'<p class="note">{say("From {files}", files=link_file(use.file))}</p>'


def _later(uses: Mapping[str, EnergyUse]) -> str:
    head = [say("work"), say("energy"), say("interval"), say("emissions"), say("Wh per 1,000 queries"), say("measured by")]
    rows: Sequence[Sequence[str]] = [
        [
            say(kind),
            say_energy(numeric(use.energy) or 0.0),
            say_energy_ends(use.energy.low, use.energy.high),
            "" if (grams := numeric(use.emissions)) is None else say_emissions(grams),
            "" if (hours := numeric(use.per_1000_queries)) is None else say_number(hours, 3),
            say_method(use.method),
        ]
        for kind, use in uses.items()
    ]
    return html_table(head, rows)
