"""What the counters of a meter have counted at one time."""

from dataclasses import dataclass, field, fields

from lmcraft.energy.gpus import GpuJoules
from lmcraft.energy.power_model import Activity


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
        return Activity(self.seconds, self.processor_seconds, busy, self.capacity_seconds, stolen)


@dataclass(frozen=True)
class Reading:
    """The counters at one time."""

    seconds: float
    """On a clock that does not go back."""
    processor_seconds: float
    """Of this process and its descendants."""
    totals: Totals = Totals()
    """Up to some milliseconds earlier."""
    recent: Totals = Totals()
    """Of the last second or so."""
    gpu: GpuJoules = field(default_factory=GpuJoules)
