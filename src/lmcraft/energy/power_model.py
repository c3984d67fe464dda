"""From counters of the processor to electricity at the plug: the share of this work, memory, board and losses.

docs/energy.md derives each formula and names the sources of each range.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lmcraft.energy.energy import Part
from lmcraft.energy.power_table import MachinePower
from lmcraft.energy.ranges import Range, exactly

# What a processor draws when nothing runs, of what it draws when all its CPUs are busy; of memory, too.
IDLE_RATIO = Range(0.04, 0.18, 0.45)
MEMORY_IDLE_RATIO = Range(0.15, 0.4, 0.95)
# The power above idle grows with this power of the share of busy CPUs: the first ones run at higher clock rates, and the
# second thread of a core draws less than the first.
LOAD_EXPONENT = Range(0.5, 0.75, 1.0)
# The share of busy CPUs of the host of a virtual machine.
HOST_LOAD = Range(0.1, 0.5, 1.0)
MIN_LOAD = 1e-3
COUNTER_ACCURACY = Range(0.92, 1.0, 1.08)
MEMORY_COUNTER_ACCURACY = Range(0.8, 1.0, 1.2)
# A second of one process may draw this much more than a second of another.
PROCESS_SPREAD = 0.35
# Watts of each GB of memory: 0.37 in Green Algorithms, 5 W for each module in CodeCarbon.
MEMORY_WATTS = Range(0.05, 0.2, 0.6)
# Watts at the plug for each watt of processor and memory: regulators, power supply, fans.
PLUG_FACTOR = Range(1.15, 1.35, 1.7)
# Of board, disks and network, of the processors' design power.
BOARD_POWER = Range(0.04, 0.15, 0.4)


@dataclass(frozen=True)
class Activity:
    """What the processors did during a time."""

    processor_seconds: float
    """Of this work."""
    busy_seconds: float
    """Of all work, in seconds of CPUs."""
    capacity_seconds: float
    """Of all CPUs, busy or idle."""
    stolen_share: float = 0.0
    """Of the busy time, when the host ran something else: it may be counted as this work's."""

    @property
    def load(self) -> float:
        """The share of CPUs that were busy; 0 if unknown."""
        return min(1.0, self.busy_seconds / self.capacity_seconds) if self.capacity_seconds > 0 else 0.0

    @property
    def share(self) -> float:
        """Of the busy time, what this work had."""
        return min(1.0, self.processor_seconds / self.busy_seconds) if self.busy_seconds > 0 else 1.0


def package_by_counter(joules: float, activity: Activity) -> Range:
    """Joules of the processor for this work, from those of all work: its share of what is drawn above idle, and the idle
    power of the CPUs for the time in which it used them.

    joules_work = share * joules * used_part(load)
    """
    used = _varied(lambda idle, exponent: used_part(activity.load, idle, exponent), IDLE_RATIO, LOAD_EXPONENT)
    spread = PROCESS_SPREAD * (1 - activity.share)
    return used * COUNTER_ACCURACY * Range(1 - spread, 1.0, 1 + spread) * (activity.share * joules)


def used_part(load: float, idle_ratio: float, exponent: float) -> float:
    """Of what a processor draws, the part that its busy CPUs account for; the idle power of the others is nobody's.

    A processor draws full * (idle_ratio + (1 - idle_ratio) * load ** exponent).
    """
    active = (1 - idle_ratio) * math.pow(load, exponent)
    return (active + idle_ratio * load) / (active + idle_ratio)


def memory_by_counter(joules: float, activity: Activity) -> Range:
    """Joules of memory for this work, from those of all work; the part above idle grows with the load."""
    used = _varied(lambda idle: used_part(activity.load, idle, 1.0), MEMORY_IDLE_RATIO)
    return used * MEMORY_COUNTER_ACCURACY * (activity.share * joules)


def package_by_time(processor_seconds: Range, load: float, power: MachinePower) -> Range:
    """Joules of the processor for this work, from its processor time and the design power of a CPU."""
    return power.watts * load_factor(load, power) * processor_seconds


def load_factor(load: float, power: MachinePower) -> Range:
    """Watts of a busy CPU, its idle power included, per watt of its design power, while a share of all CPUs is busy.

    full * (idle_ratio + (1 - idle_ratio) * load ** (exponent - 1))
    """
    loads = HOST_LOAD if power.is_virtual or load <= 0 else exactly(max(load, MIN_LOAD))
    shape = _varied(
        lambda idle, exponent, share: idle + (1 - idle) * share ** (exponent - 1), IDLE_RATIO, LOAD_EXPONENT, loads
    )
    return power.full_power * shape


def _varied(formula: Callable[..., float], *inputs: Range) -> Range:
    """The range of a formula of independent inputs: each is moved to its ends, and the changes add as squares."""
    middle = [each.best for each in inputs]
    best = formula(*middle)
    result = exactly(best)
    for number, each in enumerate(inputs):
        values = [formula(*middle[:number], end, *middle[number + 1 :]) for end in (each.low, each.high)]
        if best > 0:
            result *= Range(min(best, *values) / best, 1.0, max(best, *values) / best)
    return result


def memory_by_time(processor_seconds: Range, power: MachinePower) -> Range:
    """Joules of memory for this work: each CPU has its part of it."""
    return MEMORY_WATTS * (power.memory_gigabytes / power.cpus) * processor_seconds


def rest_of_machine(package: Range, memory: Range, processor_seconds: Range, power: MachinePower) -> Range:
    """Joules of board and disks for this work's processor time, and all losses."""
    board = BOARD_POWER * power.watts * processor_seconds
    return (package + memory) * PLUG_FACTOR.minus_one() + board * PLUG_FACTOR


def idle_machine(processor_seconds: float, power: MachinePower) -> Range:
    """Joules at the plug of CPUs that wait, with their part of memory and board."""
    package = IDLE_RATIO * power.full_power * power.watts * processor_seconds
    memory = memory_by_time(exactly(processor_seconds), power)
    return package + memory + rest_of_machine(package, memory, exactly(processor_seconds), power)


def as_part(joules: Range, method: str) -> Part:
    """A part of an energy."""
    return Part(joules.best, joules.low, joules.high, method)
