"""The energy counters of processors and memory (RAPL), as Linux shows them in /sys/class/powercap.

They count all that runs on a processor, start again at 0 when they reach a limit or the machine wakes up, and only root may
read them on most systems (CVE-2020-8694).
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
# No processor draws more: a counter that would have had to is one that has been reset.
MAX_WATTS = 2000.0


@dataclass(frozen=True)
class Zone:
    """A counter."""

    file: Path
    is_memory: bool
    limit: float
    """In joules: the counter starts again at 0 there."""

    def read(self) -> float:
        """In joules.

        Raises:
            OSError, ValueError: it cannot be read.
        """
        return int(self.file.read_text(encoding="ascii")) / 1e6


@dataclass
class PowercapCounters:
    """The counters of all processors, without their resets."""

    zones: list[Zone]
    values: list[float] = field(default_factory=list)
    seconds: float = 0.0
    package_joules: float = 0.0
    memory_joules: float = 0.0

    def advance(self, seconds: float) -> bool:
        """Add what was drawn since the last time; false if some of it is unknown, and none of it was added.

        Args:
            seconds: now, on a clock that does not go back.
        """
        passed, self.seconds = seconds - self.seconds, seconds
        previous = self.values
        try:
            self.values = [zone.read() for zone in self.zones]
        except (OSError, ValueError):
            self.values = []
            return False
        if len(previous) != len(self.zones):
            return False
        differences = [
            _difference(before, after, zone.limit, MAX_WATTS * passed)
            for before, after, zone in zip(previous, self.values, self.zones, strict=True)
        ]
        drawn = [value for value in differences if value is not None]
        if len(drawn) < len(differences):
            return False
        for value, zone in zip(drawn, self.zones, strict=True):
            if zone.is_memory:
                self.memory_joules += value
            else:
                self.package_joules += value
        return True

    @property
    def has_memory(self) -> bool:
        """Whether memory has counters of its own."""
        return any(zone.is_memory for zone in self.zones)

    @property
    def max_period(self) -> float:
        """Seconds after which a counter may have started again twice."""
        return min(zone.limit for zone in self.zones) / MAX_WATTS


def _difference(before: float, after: float, limit: float, most: float) -> float | None:
    """What a counter counted; None if it was reset, or may have started again more than once."""
    difference = after - before if after >= before else after - before + limit
    return difference if 0 <= difference <= most < limit else None


def find_zones(folder: Path = POWERCAP) -> tuple[list[Zone], bool]:
    """The counters of this machine, and whether it has some that this user must not read; then there are none.

    Each processor has a zone, with a part for its memory. Parts for cores and graphics are in the processor's; that of the
    whole platform (psys) would count twice.
    """
    zones = []
    for zone in sorted(folder.glob("intel-rapl:*")):
        try:
            name = (zone / "name").read_text(encoding="ascii").strip()
            is_memory = name == "dram"
            if not (is_memory or name.startswith("package")):
                continue
            limit = int((zone / "max_energy_range_uj").read_text(encoding="ascii")) / 1e6
            counter = Zone(zone / "energy_uj", is_memory, limit)
            if not os.access(counter.file, os.R_OK):
                return [], True
            counter.read()
        except (OSError, ValueError):
            continue
        zones.append(counter)
    return (zones if any(not zone.is_memory for zone in zones) else []), False
