"""The meter of this process: the best method that this machine allows, its readings, and the energy between two of them."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from lmcraft.energy.energy import NO_ENERGY, Energy, Part
from lmcraft.energy.process_tree import processor_seconds
from lmcraft.errors import UserError
from lmcraft.processor import cpu_name

VARIABLE = "LMCRAFT_METER"
RUNGS = ("rapl", "cpu time", "flops", "none")
# At the plug, of a busy CPU of any machine.
WATTS = Part(8.0, 2.5, 25.0, "cpu time")
JOULES_PER_FLOP = Part(2e-10, 1e-11, 4e-9, "flops")


@dataclass(frozen=True)
class Reading:
    """The counters at one time."""

    seconds: float
    """On a clock that does not go back."""
    processor_seconds: float
    """Of this process and its descendants."""


class Meter:
    """Counts the electricity that this process and its descendants draw."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._lock = threading.Lock()

    def describe(self) -> str:
        """The method in one line, for the terminal."""
        return f"energy by {self.method} of {cpu_name()}" if self.method != "none" else "energy is not measured"

    def read(self) -> Reading:
        """The counters now, in less than a millisecond; any thread may call it."""
        with self._lock:
            return Reading(time.monotonic(), processor_seconds())

    def energy(self, since: Reading, until: Reading | None = None, *, flops: float = 0.0) -> Energy:
        """What was drawn between two readings; without the second, until now.

        Args:
            flops: the floating-point operations of the work, for the last rung of the ladder.
        """
        until = until or self.read()
        seconds = max(0.0, until.seconds - since.seconds)
        if self.method == "none":
            return Energy(method="none", seconds=seconds)
        if self.method == "flops":
            part = JOULES_PER_FLOP.scaled(flops)
        else:
            part = WATTS.scaled(max(0.0, until.processor_seconds - since.processor_seconds))
        return Energy.of_parts({"processor": part}, seconds)


class Measurement:
    """The energy of a block: so far while it runs, all of it afterwards."""

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self._since = meter.read()
        self._final: Energy | None = None

    @property
    def energy(self) -> Energy:
        """What the block has drawn."""
        return self._final or self.meter.energy(self._since)

    def finish(self) -> None:
        """Count no more."""
        self._final = self._final or self.meter.energy(self._since)


@contextmanager
def measuring(meter: Meter | None = None) -> Iterator[Measurement]:
    """Measure the energy of a block with this process's meter."""
    measurement = Measurement(meter or open_meter())
    try:
        yield measurement
    finally:
        measurement.finish()


@cache
def open_meter() -> Meter:
    """This process's meter: the best rung of the ladder that can be read here, or the one that LMCRAFT_METER names.

    Raises:
        UserError: LMCRAFT_METER names no rung.
    """
    method = os.environ.get(VARIABLE, "").strip().lower() or "cpu time"
    if method not in RUNGS:
        raise UserError(f"{VARIABLE}='{method}' is no meter: use {', '.join(RUNGS[:-1])} or {RUNGS[-1]}")
    return Meter(method)


__all__ = ["NO_ENERGY", "Measurement", "Meter", "Reading", "measuring", "open_meter"]
