"""How busy all CPUs of the machine have been, by the system's own count."""

import os
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
# Columns of /proc/stat, in clock ticks of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal. (Those of guests
# are in user and nice.)
IDLE_COLUMNS = {3, 4}
STEAL_COLUMN = 7


@dataclass(frozen=True)
class MachineLoad:
    """Seconds of all CPUs since the machine started."""

    busy: float = 0.0
    capacity: float = 0.0
    """Busy or idle; what the host took is in neither."""
    stolen: float = 0.0
    """When a CPU of a virtual machine would have run and the host ran something else."""


def read_load(file: Path = STAT) -> MachineLoad | None:
    """Of this machine: a container's counts those of others, too. None where the system does not say."""
    try:
        with file.open(encoding="ascii") as lines:
            columns = [int(value) for value in lines.readline().split()[1:]]
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
    if len(columns) <= STEAL_COLUMN:
        return None
    counted = [value for number, value in enumerate(columns[:STEAL_COLUMN]) if number not in IDLE_COLUMNS]
    idle = [columns[number] for number in IDLE_COLUMNS]
    return MachineLoad(sum(counted) / ticks, (sum(counted) + sum(idle)) / ticks, columns[STEAL_COLUMN] / ticks)
