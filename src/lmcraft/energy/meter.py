"""The meter of this process: the best method that this machine allows, its readings, and the energy between two of them."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from lmcraft.energy import flops as flops_rung
from lmcraft.energy import power_model
from lmcraft.energy.energy import Energy, Part
from lmcraft.energy.gpus import PLUG_FACTOR as GPU_PLUG_FACTOR
from lmcraft.energy.gpus import GpuCounters, GpuJoules
from lmcraft.energy.machine_load import MachineLoad, read_load
from lmcraft.energy.nvml import Nvml, NvmlError
from lmcraft.energy.power_model import as_part
from lmcraft.energy.power_table import MachinePower, machine_power
from lmcraft.energy.powercap import PowercapCounters, find_zones
from lmcraft.energy.process_tree import ProcessTree
from lmcraft.energy.ranges import NOTHING, Range, exactly
from lmcraft.energy.reading import Reading, Totals
from lmcraft.errors import UserError
from lmcraft.processor import cpu_name

VARIABLE = "LMCRAFT_METER"
RUNGS = ("rapl", "cpu time", "flops", "none")
READ_RAPL = "only root may read RAPL here (sudo chmod a+r /sys/class/powercap/*/energy_uj allows it until the next start)"
REFRESH_SECONDS = 0.05  # between two readings of the counters of the whole machine
RECENT_SECONDS = 1.0
MIN_SECONDS = 0.2  # of a time that the counters of the whole machine resolve
PERIOD = 20.0
GPUS_OF_A_SERVER = 8  # a container may see one of them


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
        self._powercap = powercap if method == "rapl" else None
        self._gpus = gpus if method in ("rapl", "cpu time") else None
        self._read_machine_load = read_machine_load
        self._processor_seconds = processor_seconds or ProcessTree().processor_seconds
        self._clock = clock
        self._reason = reason
        self._lock = threading.Lock()
        self._latest: tuple[float, float, MachineLoad | None] | None = None
        self._totals, self._recent_begin, self._recent = Totals(), Totals(), Totals()

    @property
    def method(self) -> str:
        """The rungs in use: that of the processor, after nvml if this process has used a GPU."""
        return f"nvml + {self._method}" if self._gpus and self._gpus.in_use else self._method

    def describe(self) -> str:
        """The method in one line, for the terminal."""
        if self._method == "none":
            return "energy is not measured"
        processor = {
            "rapl": f"RAPL of {cpu_name()}",
            "cpu time": f"CPU time x {self._power.watts.best:.2g} W per CPU of {cpu_name()} ({self._power.source})",
            "flops": f"floating-point operations on {cpu_name()}",
        }[self._method]
        gpus = f"NVML of {', '.join(self._gpus.names())}; " if self._gpus else ""
        return f"energy by {gpus}{processor}{f'; {self._reason}' if self._reason else ''}"

    def read(self) -> Reading:
        """The counters now, in less than a millisecond; any thread may call it."""
        with self._lock:
            now = self._clock()
            processor_seconds = self._processor_seconds()
            if self._method in ("none", "flops"):
                return Reading(now, processor_seconds)
            if self._latest is None or now - self._latest[0] >= REFRESH_SECONDS:
                self._refresh(now, processor_seconds)
            gpu = self._gpus.joules if self._gpus else GpuJoules()
            return Reading(now, processor_seconds, self._totals, self._recent, gpu)

    def _refresh(self, now: float, processor_seconds: float) -> None:
        """Read the counters of the whole machine."""
        if self._gpus:
            self._gpus.advance(now)
        load = self._read_machine_load()
        previous, self._latest = self._latest, (now, processor_seconds, load)
        package, memory = (self._powercap.package_joules, self._powercap.memory_joules) if self._powercap else (0.0, 0.0)
        is_known = self._powercap.advance(now) if self._powercap else True
        if previous is None:
            return
        own = max(0.0, processor_seconds - previous[1])
        if not is_known:
            self._totals += Totals(missed_seconds=own)
            return
        before = previous[2]
        if load is not None and before is not None:
            busy, capacity, stolen = (
                max(0.0, value)
                for value in (load.busy - before.busy, load.capacity - before.capacity, load.stolen - before.stolen)
            )
        else:
            busy = capacity = stolen = 0.0
        if self._powercap:
            package, memory = self._powercap.package_joules - package, self._powercap.memory_joules - memory
        self._totals += Totals(now - previous[0], own, busy, capacity, stolen, package, memory)
        if self._totals.seconds - self._recent_begin.seconds >= RECENT_SECONDS:
            self._recent, self._recent_begin = self._totals - self._recent_begin, self._totals

    def energy(self, since: Reading, until: Reading | None = None, *, flops: float = 0.0) -> Energy:
        """What was drawn between two readings; without the second, until now.

        Args:
            flops: the floating-point operations of the work, for the last rung of the ladder.
        """
        until = until or self.read()
        seconds = max(0.0, until.seconds - since.seconds)
        if self._method == "none":
            return Energy(method="none", seconds=seconds)
        if self._method == "flops":
            return self._energy_of_flops(flops, seconds)
        own = max(0.0, until.processor_seconds - since.processor_seconds)
        window = until.totals - since.totals
        if window.seconds < MIN_SECONDS and until.recent.seconds > 0:
            window = until.recent
        parts = self._parts_of_processor(own, window)
        gpu = until.gpu - since.gpu
        if gpu.held_seconds > 0:
            parts |= self._parts_of_gpus(gpu, own, parts["rest"])
        elif flops > 0 and flops_rung.computes_on_gpu():
            parts |= _parts_of_unknown_gpu(flops, parts["rest"])
        return Energy.of_parts(parts, seconds)

    def _parts_of_processor(self, own: float, window: Totals) -> dict[str, Part]:
        """Of an amount of processor time, during a time of which the machine's counters are known."""
        activity = window.activity
        missed = min(own, window.missed_seconds)
        counted = own - missed
        if self._powercap and activity.processor_seconds > 0:
            per_second = 1 / activity.processor_seconds
            package = power_model.package_by_counter(window.package_joules, activity) * (per_second * counted)
            memory = (
                power_model.memory_by_counter(window.memory_joules, activity) * (per_second * counted)
                if self._powercap.has_memory
                else power_model.memory_by_time(exactly(counted), self._power)
            )
            method = "rapl"
        else:
            package = memory = NOTHING
            missed, method = own, ""
        if missed > 0 or not method:
            seconds = Range(missed * (1 - activity.stolen_share), missed, missed)
            package += power_model.package_by_time(seconds, activity.load, self._power)
            memory += power_model.memory_by_time(seconds, self._power)
            method = f"{method} + cpu time" if method else "cpu time"
        return self._with_rest(package, memory, exactly(own), method)

    def _with_rest(self, package: Range, memory: Range, seconds: Range, method: str) -> dict[str, Part]:
        rest = power_model.rest_of_machine(package, memory, seconds, self._power)
        return {
            "processor": as_part(package, method),
            "memory": as_part(memory, method),
            "rest": as_part(rest, method),
        }

    def _parts_of_gpus(self, gpu: GpuJoules, own: float, rest: Part) -> dict[str, Part]:
        """Of the GPUs, with their losses, and what the machine draws while it waits for its GPUs."""
        joules = gpu.counted + gpu.polled
        waiting = max(0.0, gpu.held_seconds * self._power.cpus - own)
        visible = len(self._gpus) if self._gpus else 1
        host = power_model.idle_machine(waiting, self._power)
        host = Range(host.low * min(1.0, visible / GPUS_OF_A_SERVER), host.best, host.high)
        losses = joules * GPU_PLUG_FACTOR.minus_one()
        return {"gpu": as_part(joules, "nvml"), "rest": rest + as_part(host + losses, "nvml")}

    def _energy_of_flops(self, flops: float, seconds: float) -> Energy:
        if flops > 0 and flops_rung.computes_on_gpu():
            return Energy.of_parts(_parts_of_unknown_gpu(flops, Part(0.0, 0.0, 0.0, "flops")), seconds)
        own = flops_rung.processor_seconds(flops, seconds)
        package = power_model.package_by_time(own, 0.0, self._power)
        memory = power_model.memory_by_time(own, self._power)
        return Energy.of_parts(self._with_rest(package, memory, own, "flops"), seconds)

    def watch(self) -> None:
        """Read the counters now and then, in a thread of its own, before they start again at 0 unseen."""
        if self._powercap or self._gpus:
            threading.Thread(target=self._watch, name="energy", daemon=True).start()

    def _watch(self) -> None:
        limit = min(PERIOD, self._powercap.max_period / 2) if self._powercap else PERIOD
        while True:
            self.read()
            gpu_period = self._gpus.period if self._gpus else PERIOD
            time.sleep(min(limit, gpu_period))

    def after_fork(self) -> None:
        """In a child process: another thread of its parent may have held the lock."""
        self._lock = threading.Lock()


def _parts_of_unknown_gpu(flops: float, rest: Part) -> dict[str, Part]:
    joules = flops_rung.gpu_joules(flops)
    return {"gpu": as_part(joules, "flops"), "rest": rest + as_part(joules * GPU_PLUG_FACTOR.minus_one(), "flops")}


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
        UserError: LMCRAFT_METER names no rung, or one that cannot be read here.
    """
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
