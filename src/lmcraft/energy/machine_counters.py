"""The counters of the whole machine, read together: how busy its CPUs are, RAPL and GPUs."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from lmcraft.energy.gpus import GpuCounters, GpuJoules
from lmcraft.energy.machine_load import MachineLoad
from lmcraft.energy.power_model import Activity
from lmcraft.energy.powercap import PowercapCounters

REFRESH_SECONDS = 0.05  # between two readings


@dataclass(frozen=True)
class Totals:
    """Sums over the times of which everything is known."""

    seconds: float = 0.0
    processor_seconds: float = 0.0
    """Of this process and its descendants."""
    busy_seconds: float = 0.0
    """Of all CPUs and all processes."""
    capacity_seconds: float = 0.0
    stolen_seconds: float = 0.0
    package_joules: float = 0.0
    """Of all processors and all processes; 0 without RAPL."""
    memory_joules: float = 0.0
    missed_seconds: float = 0.0
    """Processor seconds of this process in the times that a reset of RAPL's counters hides, which are in no other sum."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))

    def __sub__(self, other: "Totals") -> "Totals":
        return Totals(*(max(0.0, getattr(self, each.name) - getattr(other, each.name)) for each in fields(self)))

    @property
    def activity(self) -> Activity:
        """For the formulas of power."""
        busy = max(self.busy_seconds, self.processor_seconds if self.capacity_seconds else 0.0)
        stolen = self.stolen_seconds / (self.stolen_seconds + busy) if self.stolen_seconds else 0.0
        return Activity(self.processor_seconds, busy, self.capacity_seconds, stolen)


class MachineCounters:
    """The counters of a machine, summed up without their resets.

    Args:
        powercap: of the processors, if RAPL can be read.
        gpus: of the GPUs, if there are any.
        read_load: how busy all CPUs are; None: unknown.
    """

    def __init__(
        self,
        powercap: PowercapCounters | None,
        gpus: GpuCounters | None,
        read_load: Callable[[], MachineLoad | None],
    ) -> None:
        self.powercap = powercap
        self.gpus = gpus
        self.totals = Totals()
        self._read_load = read_load
        self._latest: tuple[float, float, MachineLoad | None] | None = None

    @property
    def gpu_joules(self) -> GpuJoules:
        """Of this process."""
        return self.gpus.joules if self.gpus else GpuJoules()

    def refresh(self, now: float, processor_seconds: float) -> None:
        """Read the counters, unless this has just been done.

        Args:
            now: seconds on a clock that does not go back.
            processor_seconds: of this process and its descendants.
        """
        previous = self._latest
        if previous is not None and now - previous[0] < REFRESH_SECONDS:
            return
        if self.gpus:
            self.gpus.advance(now)
        load = self._read_load()
        package, memory = (self.powercap.package_joules, self.powercap.memory_joules) if self.powercap else (0.0, 0.0)
        is_known = self.powercap.advance(now) if self.powercap else True
        self._latest = now, processor_seconds, load
        if previous is None:
            return
        own = max(0.0, processor_seconds - previous[1])
        if not is_known:
            self.totals += Totals(missed_seconds=own)
            return
        if self.powercap:
            package, memory = self.powercap.package_joules - package, self.powercap.memory_joules - memory
        self.totals += Totals(now - previous[0], own, *_load_between(previous[2], load), package, memory)


def _load_between(before: MachineLoad | None, after: MachineLoad | None) -> tuple[float, float, float]:
    """Busy, all and stolen seconds of all CPUs; zeros if they are unknown."""
    if before is None or after is None:
        return 0.0, 0.0, 0.0
    return (
        max(0.0, after.busy - before.busy),
        max(0.0, after.capacity - before.capacity),
        max(0.0, after.stolen - before.stolen),
    )
