"""The meter of this process: the best method that this machine allows, its readings, and the energy between two of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

from lmcraft.energy import attribution
from lmcraft.energy.carbon import find_grid
from lmcraft.energy.energy import Energy, Part
from lmcraft.energy.flops import computes_on_gpu
from lmcraft.energy.gpus import GpuCounters, GpuJoules
from lmcraft.energy.machine_counters import MachineCounters, Totals
from lmcraft.energy.machine_load import MachineLoad, read_load
from lmcraft.energy.nvml import Nvml, NvmlError
from lmcraft.energy.power_table import MachinePower, machine_power
from lmcraft.energy.powercap import PowercapCounters, find_zones
from lmcraft.energy.process_tree import ProcessTree
from lmcraft.energy.reading import Drawn, Reading, add_drawn, energy_between, energy_of
from lmcraft.errors import UserError
from lmcraft.processor import cpu_name

VARIABLE = "LMCRAFT_METER"
RUNGS = ("rapl", "cpu time", "flops", "none")
READ_RAPL = "only root may read RAPL here (sudo chmod a+r /sys/class/powercap/*/energy_uj allows it until the next start)"
WINDOW_SECONDS = 1.0  # in which the load is taken to be the same
MIN_WINDOW_SECONDS = 0.2  # that the system's count of busy CPUs resolves
PERIOD = 20.0


class Meter:
    """Counts the electricity that this process and its descendants draw.

    Args:
        method: of the processor: rapl, cpu time, flops or none.
        power: of the processor, by the table.
        powercap: its counters, for rapl.
        gpus: the counters of the GPUs.
        read_machine_load: how busy all CPUs are; None: unknown.
        processor_seconds: of this process and its descendants.
        clock: one that does not go back.
    """

    def __init__(
        self,
        method: str,
        power: MachinePower,
        *,
        powercap: PowercapCounters | None = None,
        gpus: GpuCounters | None = None,
        read_machine_load: Callable[[], MachineLoad | None] = read_load,
        processor_seconds: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
        reason: str = "",
    ) -> None:
        self._method = method
        self._power = power
        self._counters = MachineCounters(
            powercap if method == "rapl" else None, gpus if method in ("rapl", "cpu time") else None, read_machine_load
        )
        self._processor_seconds = processor_seconds or ProcessTree().processor_seconds
        self._clock = clock
        self._reason = reason
        self._lock = threading.Lock()
        self._window: _Window | None = None
        self._recent = Totals()

    @property
    def method(self) -> str:
        """The rungs in use: that of the processor, after nvml if this process has used a GPU."""
        gpus = self._counters.gpus
        return f"nvml + {self._method}" if gpus and gpus.in_use else self._method

    def describe(self) -> str:
        """The method in one line, for the terminal."""
        if self._method == "none":
            return "energy is not measured"
        processor = {
            "rapl": f"RAPL of {cpu_name()}",
            "cpu time": f"CPU time x {self._power.watts.best:.2g} W per CPU of {cpu_name()} ({self._power.source})",
            "flops": f"floating-point operations on {cpu_name()}",
        }[self._method]
        gpus = self._counters.gpus
        nvml = f"NVML of {', '.join(gpus.names())}; " if gpus else ""
        return f"energy by {nvml}{processor}{f'; {self._reason}' if self._reason else ''}"

    def read(self) -> Reading:
        """The counters now, in less than a millisecond; any thread may call it."""
        with self._lock:
            now, own = self._clock(), self._processor_seconds()
            if self._method in ("none", "flops"):
                return Reading(now, own)
            self._counters.refresh(now, own)
            totals, gpu = self._counters.totals, self._counters.gpu_joules
            if self._window is None:
                self._window = _Window(now, own, totals, gpu, {})
            begin = self._window
            drawn = add_drawn(
                begin.drawn, self._drawn(own - begin.processor_seconds, totals - begin.totals, gpu - begin.gpu)
            )
            if now - begin.seconds >= WINDOW_SECONDS:
                self._window, self._recent = _Window(now, own, totals, gpu, drawn), totals - begin.totals
            return Reading(now, own, drawn)

    def _drawn(self, own: float, window: Totals, gpu: GpuJoules) -> Drawn:
        """Of a time in which the load was the same; the load of a very short one is that of the time before."""
        own = max(0.0, own)
        if window.seconds < MIN_WINDOW_SECONDS <= self._recent.seconds:
            window = replace(self._recent, missed_seconds=window.missed_seconds)
        has_memory = self._counters.powercap is not None and self._counters.powercap.has_memory
        drawn = attribution.drawn_by_processor(own, window, self._power, self._method, has_memory=has_memory)
        if self._counters.gpus is None or gpu.held_seconds <= 0:
            return drawn
        return add_drawn(drawn, attribution.drawn_by_gpus(gpu, own, self._power, len(self._counters.gpus)))

    def energy(self, since: Reading, until: Reading | None = None, *, flops: float = 0.0) -> Energy:
        """What was drawn between two readings; without the second, until now.

        Args:
            flops: the floating-point operations of the work, for the last rung of the ladder.
        """
        until = until or self.read()
        seconds = max(0.0, until.seconds - since.seconds)
        if self._method == "none":
            return Energy(method="none", seconds=seconds)
        energy = energy_between(since, until)
        if flops > 0 and "gpu" not in energy.parts and computes_on_gpu():
            drawn = attribution.drawn_by_unknown_gpu(flops)
            if self._method == "flops":
                return energy_of(drawn, seconds)
            energy += replace(energy_of(drawn, seconds), seconds=0.0)
        elif self._method == "flops":
            energy = energy_of(attribution.drawn_by_flops(flops, seconds, self._power), seconds)
        return energy if energy.parts else Energy.of_parts({"processor": Part(0.0, 0.0, 0.0, self._method)}, seconds)

    def watch(self) -> None:
        """Read the counters now and then, in a thread of its own, before they start again at 0 unseen."""
        if self._counters.powercap or self._counters.gpus:
            threading.Thread(target=self._watch, name="energy", daemon=True).start()

    def _watch(self) -> None:
        powercap, gpus = self._counters.powercap, self._counters.gpus
        limit = min(PERIOD, powercap.max_period / 2) if powercap else PERIOD
        while True:
            self.read()
            time.sleep(min(limit, gpus.period) if gpus else limit)

    def after_fork(self) -> None:
        """In a child process: another thread of its parent may have held the lock."""
        self._lock = threading.Lock()


@dataclass(frozen=True)
class _Window:
    """The begin of a time in which the load is taken to be the same."""

    seconds: float
    processor_seconds: float
    totals: Totals
    gpu: GpuJoules
    drawn: Drawn
    """Up to then."""


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
        UserError: LMCRAFT_METER names no rung, or one that cannot be read here; or LMCRAFT_REGION or LMCRAFT_CPU_WATTS is
            wrong, which must not come up when the work is done.
    """
    find_grid()
    requested = " ".join(os.environ.get(VARIABLE, "").lower().split())
    if requested and requested not in RUNGS:
        raise UserError(f"{VARIABLE}='{requested}' is no meter: use {', '.join(RUNGS[:-1])} or {RUNGS[-1]}")
    meter = make_meter(requested)
    meter.watch()
    return meter


def make_meter(method: str = "") -> Meter:
    """A new meter of this machine.

    Args:
        method: of the processor; without one, the best that can be read here.

    Raises:
        UserError: it cannot be read here.
    """
    zones, is_forbidden = find_zones() if method in ("", "rapl") else ([], False)
    if method == "rapl" and not zones:
        reason = READ_RAPL if is_forbidden else "this machine shows no counters in /sys/class/powercap"
        raise UserError(f"{VARIABLE}='rapl': {reason}; use cpu time")
    method = method or ("rapl" if zones else "cpu time")
    return Meter(
        method,
        machine_power(),
        powercap=PowercapCounters(zones) if zones else None,
        gpus=_open_gpus() if method in ("rapl", "cpu time") else None,
        reason=READ_RAPL if is_forbidden else "",
    )


def _open_gpus() -> GpuCounters | None:
    try:
        nvml = Nvml()
    except NvmlError:
        return None
    return GpuCounters(nvml, ProcessTree().pids) if len(nvml) else None


def _renew_after_fork() -> None:
    if open_meter.cache_info().currsize:
        open_meter().after_fork()
    open_meter.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_after_fork)
