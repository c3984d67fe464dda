"""What a computation costs: time, processor time, and energy by this machine's meter."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft.energy import NO_ENERGY, Energy, Reading, open_meter
from lmcraft.folder import read_json, write_json

RECORD_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """Time and energy."""

    seconds: float = 0.0
    """On the clock."""
    processor_seconds: float = 0.0
    """Of all CPUs, this process and its descendants."""
    energy: Energy = NO_ENERGY

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.processor_seconds + other.processor_seconds, self.energy + other.energy
        )

    def as_json(self) -> dict[str, Any]:
        """For the file that `read_cost` reads."""
        return {"seconds": self.seconds, "processor_seconds": self.processor_seconds, "energy": self.energy.as_json()}


@contextmanager
def recording_cost(file: Path) -> Iterator[None]:
    """Add what the block costs to a file, every few seconds, so that a killed process loses little."""
    before, meter = read_cost(file), open_meter()
    begin = meter.read()
    is_over = threading.Event()

    def record() -> None:
        now = meter.read()
        write_json(file, (before + _cost_between(begin, now, meter.energy(begin, now))).as_json())

    def record_regularly() -> None:
        while not is_over.wait(RECORD_SECONDS):
            record()

    thread = threading.Thread(target=record_regularly, name="cost", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        record()


def _cost_between(begin: Reading, end: Reading, energy: Energy) -> Cost:
    return Cost(end.seconds - begin.seconds, end.processor_seconds - begin.processor_seconds, energy)


def read_cost(file: Path) -> Cost:
    """What a file has recorded so far."""
    if not file.is_file():
        return Cost()
    table = read_json(file)
    energy = Energy.from_json(table["energy"]) if "energy" in table else NO_ENERGY  # an earlier version wrote none
    return Cost(table["seconds"], table["processor_seconds"], energy)
