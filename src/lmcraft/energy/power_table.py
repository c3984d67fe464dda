"""The design power of this machine's processor, by its name, for each of its CPUs."""

import csv
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from lmcraft.energy.ranges import Range, about, exactly
from lmcraft.errors import UserError
from lmcraft.processor import cpu_flags, cpu_name, physical_packages

VARIABLE = "LMCRAFT_CPU_WATTS"
TABLE = Path(__file__).with_name("processors.csv")
# Watts for each hardware thread. Servers: from 1.3 (EPYC 9965: 500 W, 384 threads) to 12 (few fast cores of one thread); 3.5
# is less than the median of the 40 servers in Green Algorithms' table (CC BY 4.0), 8 W for each core of two threads: hosts
# of virtual machines have many cores.
VIRTUAL_WATTS = Range(1.3, 3.5, 12.0)
# Any machine, from a laptop's 15 W for 16 threads to a desktop's 125 W for 8.
UNKNOWN_WATTS = Range(0.9, 4.0, 16.0)
# What a processor draws with all CPUs busy, of its design power: servers stay below, desktops may take twice as much.
FULL_POWER = Range(0.45, 0.85, 1.6)
# Of what was measured while all CPUs were busy with one kind of work, what another kind draws.
MEASURED_FULL_POWER = Range(0.75, 1.0, 1.3)
TABLE_ERROR = 0.1  # makers sell one name with several design powers
# Of processors with two threads in each core, whose machine is virtual: some share a core's threads out singly.
THREADS_PER_CORE = Range(1.0, 2.0, 2.0)
CORES = re.compile(r"\b(\d+)-Cores?\b", re.IGNORECASE)
# What names carry beside the model: trademarks, clock rates, kinds of graphics.
NOISE = re.compile(
    r"\((?:r|tm|c)\)|@.*|\bwith .*|\bw/.*|\b\d+(?:st|nd|rd|th) gen\b|\b\d+-cores?\b|\b(?:six|eight|quad|dual)-core\b"
    r"|\b(?:cpu|processor|technologies)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class MachinePower:
    """The design power of the processor for each CPU that the system shows."""

    watts: Range
    """For each CPU: a hardware thread or, in a virtual machine, what the host makes of it."""
    cpus: int
    """CPUs of the whole machine, as far as it shows."""
    is_virtual: bool
    """The host's load is unknown, since other machines share its processor."""
    source: str
    """Where the figure comes from, for the terminal."""
    memory_gigabytes: float = 0.0
    full_power: Range = FULL_POWER
    """What the processor draws with all CPUs busy, of its design power."""


@cache
def machine_power() -> MachinePower:
    """Of this machine.

    Raises:
        UserError: LMCRAFT_CPU_WATTS is no number of watts.
    """
    cpus, is_virtual = os.cpu_count() or 1, "hypervisor" in cpu_flags()
    if text := os.environ.get(VARIABLE, "").strip():
        power = measured_power(_parse_watts(text), cpus, is_virtual=is_virtual)
    else:
        power = find_power(cpu_name(), cpus, physical_packages() or 1, is_virtual=is_virtual)
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        return replace(power, memory_gigabytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    return power


def measured_power(watts: float, cpus: int, *, is_virtual: bool) -> MachinePower:
    """Of a processor that draws so many watts for each CPU when all are busy."""
    return MachinePower(exactly(watts), cpus, is_virtual, VARIABLE, full_power=MEASURED_FULL_POWER)


def _parse_watts(text: str) -> float:
    try:
        watts = float(text)
    except ValueError:
        watts = 0.0
    if not 0.01 <= watts <= 1000:
        raise UserError(f"{VARIABLE}='{text}' is no power of a CPU: set the watts of one CPU while all are busy, as 4.5")
    return watts


def find_power(name: str, cpus: int, packages: int, *, is_virtual: bool) -> MachinePower:
    """Of a processor, by its name; an unknown one has the power of its kind, in a wider interval."""
    design_watts = find_design_power(name)
    cores = CORES.search(name)
    if design_watts is None:
        watts = VIRTUAL_WATTS if is_virtual else UNKNOWN_WATTS
        return MachinePower(watts, cpus, is_virtual, f"median of {'servers' if is_virtual else 'processors'}")
    source = f"{design_watts:g} W by the table"
    if not is_virtual:
        return MachinePower(about(design_watts * packages / cpus, TABLE_ERROR), cpus, is_virtual, source)
    if cores is None:  # the virtual machine shows some of the host's cores: how many there are is unknown
        most = design_watts / 4
        return MachinePower(VIRTUAL_WATTS.at_most(most), cpus, is_virtual, "median of servers")
    per_core = design_watts / int(cores[1])
    watts = Range(per_core / THREADS_PER_CORE.high, per_core / THREADS_PER_CORE.best, per_core / THREADS_PER_CORE.low)
    return MachinePower(watts, cpus, is_virtual, source)


def find_design_power(name: str) -> float | None:
    """The table's watts for a name as the system writes it; None for an unknown one."""
    key = _key(name)
    return _table().get(key) or _table().get(re.sub(r"^(?:amd|intel) ", "", key)) if key else None


def _key(name: str) -> str:
    return " ".join(NOISE.sub(" ", name).split()).casefold()


@cache
def _table() -> dict[str, float]:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {_key(row["name"]): float(row["watts"]) for row in rows}
