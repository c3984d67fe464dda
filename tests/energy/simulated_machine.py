"""Machines whose electricity is known: each draws its constants from the ranges of lmcraft.energy.power_model."""

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

from lmcraft.energy import power_model
from lmcraft.energy.machine_load import MachineLoad
from lmcraft.energy.power_table import FULL_POWER, MEASURED_FULL_POWER, VIRTUAL_WATTS, MachinePower, measured_power
from lmcraft.energy.powercap import PowercapCounters, Zone
from lmcraft.energy.ranges import Range, about

STANDARD_DEVIATIONS = 1.96  # of the ends of a range


def draw(quantity: Range, generator: random.Random) -> float:
    """A value with a log-normal distribution on each side of the best estimate."""
    deviation = generator.gauss(0, 1) / STANDARD_DEVIATIONS
    end = quantity.high if deviation > 0 else quantity.low
    return quantity.best * math.exp(abs(deviation) * math.log(end / quantity.best))


@dataclass
class SimulatedMachine:
    """A machine with its work: `run` lets time pass, the other methods are what a meter sees of it."""

    cpus: int
    design_watts: float
    memory_gigabytes: float
    idle_ratio: float
    memory_idle_ratio: float
    full: float
    exponent: float
    counter_error: float
    memory_watts: float
    plug_factor: float
    board: float
    process_factor: float
    """What a second of this work draws above idle, against a second of other work."""
    kind_factor: float
    """What this kind of work draws on all CPUs, against the kind by which LMCRAFT_CPU_WATTS was measured."""
    seconds: float = 0.0
    own_seconds: float = 0.0
    busy_seconds: float = 0.0
    capacity_seconds: float = 0.0
    package_joules: float = 0.0
    memory_joules: float = 0.0
    true_joules: float = 0.0
    """At the plug, of this work."""

    @classmethod
    def drawn(cls, generator: random.Random) -> "SimulatedMachine":
        """From a laptop to a server."""
        cpus = generator.choice([4, 8, 16, 32, 64, 128, 256])
        watts_per_cpu = draw(Range(1.2, 4.0, 12.0), generator)
        spread = power_model.PROCESS_SPREAD
        return cls(
            cpus=cpus,
            design_watts=cpus * watts_per_cpu,
            memory_gigabytes=cpus * draw(Range(1.0, 3.0, 12.0), generator),
            idle_ratio=min(0.95, draw(power_model.IDLE_RATIO, generator)),
            memory_idle_ratio=min(1.0, draw(power_model.MEMORY_IDLE_RATIO, generator)),
            full=draw(FULL_POWER, generator),
            exponent=draw(power_model.LOAD_EXPONENT, generator),
            counter_error=draw(power_model.COUNTER_ACCURACY, generator),
            memory_watts=draw(power_model.MEMORY_WATTS, generator),
            plug_factor=draw(power_model.PLUG_FACTOR, generator),
            board=draw(power_model.BOARD_POWER, generator),
            process_factor=draw(Range(1 - spread, 1.0, 1 + spread), generator),
            kind_factor=draw(MEASURED_FULL_POWER, generator),
        )

    def run(self, seconds: float, own: float, others: float) -> None:
        """Let time pass.

        Args:
            own: the share of all CPUs that this work keeps busy.
            others: that of other work.
        """
        load = own + others
        full_watts = self.full * self.design_watts
        idle_watts = self.idle_ratio * full_watts
        active_watts = (full_watts - idle_watts) * load**self.exponent
        weight = own * self.process_factor
        share = weight / (weight + others) if load else 0.0
        memory_watts = self.memory_watts * self.memory_gigabytes
        idle_memory = self.memory_idle_ratio * memory_watts
        active_memory = (memory_watts - idle_memory) * load
        package = share * active_watts + own * idle_watts
        memory = own / load * active_memory + own * idle_memory if load else 0.0
        board = own * self.board * self.design_watts
        self.true_joules += seconds * self.plug_factor * (package + memory + board)
        self.package_joules += seconds * (active_watts + idle_watts) * self.counter_error
        self.memory_joules += seconds * (active_memory + idle_memory)
        self.own_seconds += seconds * own * self.cpus
        self.busy_seconds += seconds * load * self.cpus
        self.capacity_seconds += seconds * self.cpus
        self.seconds += seconds

    def load(self) -> MachineLoad:
        """As the system counts it."""
        return MachineLoad(self.busy_seconds, self.capacity_seconds, 0.0)

    @property
    def power(self) -> MachinePower:
        """As the table has it."""
        watts = about(self.design_watts / self.cpus, 0.1)
        return MachinePower(watts, self.cpus, False, "simulated", self.memory_gigabytes)

    @property
    def measured_power(self) -> MachinePower:
        """With LMCRAFT_CPU_WATTS as its counters had it for another kind of work."""
        watts = self.full * self.design_watts * self.counter_error / self.cpus / self.kind_factor
        power = measured_power(watts, self.cpus, is_virtual=False)
        return replace(power, memory_gigabytes=self.memory_gigabytes)

    @property
    def virtual_power(self) -> MachinePower:
        """Of a virtual machine on it whose processor has no name."""
        return replace(self.power, watts=VIRTUAL_WATTS, is_virtual=True)


class SimulatedCounters(PowercapCounters):
    """The counters of a simulated machine."""

    def __init__(self, machine: SimulatedMachine, *, has_memory: bool) -> None:
        super().__init__([Zone(Path("none"), is_memory, 1e6) for is_memory in ((False, True) if has_memory else (False,))])
        self.machine = machine
        self.is_readable = True

    def advance(self, seconds: float) -> bool:
        """The machine's counters now."""
        if self.is_readable:
            self.package_joules, self.memory_joules = self.machine.package_joules, self.machine.memory_joules
        return self.is_readable
