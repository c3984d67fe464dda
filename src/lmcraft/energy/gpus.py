"""What NVIDIA's GPUs draw for this process and its descendants."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from lmcraft.energy.nvml import MAX_SLICES, GpuProcess, Nvml, NvmlError
from lmcraft.energy.ranges import NOTHING, Range, exactly

# Of the counter and of power that is read now and then: an H100's sensor looks at a quarter of the time (arXiv 2312.02741).
COUNTER_ACCURACY = Range(0.93, 1.0, 1.07)
POLLED_ACCURACY = Range(0.75, 1.0, 1.3)
MAX_WATTS = 3000.0  # of a GPU: a counter that would have had to draw more has been reset
# The power of a partition against its slices of the GPU.
PARTITION_SHARE = Range(0.5, 1.0, 2.5)
# A percent of one process may draw this much more than one of another.
USE_SPREAD = 0.4
# Seconds between two questions who uses a GPU.
OWNERS_PERIOD = 1.0
PERIOD, SAMPLED_PERIOD = 2.0, 0.1
# Watts of power supply and fans for each watt of a GPU.
PLUG_FACTOR = Range(1.04, 1.14, 1.35)


@dataclass
class GpuCounter:
    """A GPU, and what has been counted of it."""

    number: int
    uuid: str
    share: Range = NOTHING
    """This process's, now."""
    has_counter: bool = True
    value: float | None = None
    """Of the counter, in joules, or the power now."""


@dataclass(frozen=True)
class GpuJoules:
    """Since the meter was opened."""

    counted: Range = NOTHING
    """By counters."""
    polled: Range = NOTHING
    """By power that was read now and then."""
    held_seconds: float = 0.0
    """In which this process had a GPU, as a share of all GPUs."""

    def __sub__(self, earlier: "GpuJoules") -> "GpuJoules":
        counted, polled = (
            Range(*(getattr(now, name) - getattr(then, name) for name in ("low", "best", "high")))
            for now, then in ((self.counted, earlier.counted), (self.polled, earlier.polled))
        )
        return GpuJoules(counted, polled, self.held_seconds - earlier.held_seconds)


class GpuCounters:
    """The GPUs that the driver shows. Those count that this process or a descendant computes on.

    Args:
        own_pids: this process and its descendants.
    """

    def __init__(self, nvml: Nvml, own_pids: Callable[[], Sequence[int]]) -> None:
        self._nvml = nvml
        self._own_pids = own_pids
        self._gpus = [GpuCounter(number, _or_empty(nvml.uuid, number)) for number in range(len(nvml))]
        self._seconds = 0.0
        self._owners_seconds = float("-inf")
        self.joules = GpuJoules()

    def names(self) -> list[str]:
        """The models of all GPUs."""
        return sorted({_or_empty(self._nvml.name, gpu.number) for gpu in self._gpus})

    def __len__(self) -> int:
        return len(self._gpus)

    @property
    def period(self) -> float:
        """Seconds between two readings: few while the power of a GPU without a counter must be sampled."""
        is_sampled = any(gpu.share.high > 0 and not gpu.has_counter for gpu in self._gpus)
        return SAMPLED_PERIOD if is_sampled else PERIOD

    @property
    def in_use(self) -> bool:
        """Whether this process has used a GPU since its meter was opened."""
        return self.joules.held_seconds > 0

    def advance(self, seconds: float) -> None:
        """Add what was drawn since the last time.

        Args:
            seconds: now, on a clock that does not go back.
        """
        passed, self._seconds = seconds - self._seconds, seconds
        if seconds - self._owners_seconds >= OWNERS_PERIOD:
            self._owners_seconds = seconds
            self._find_owners()
        counted, polled, held = self.joules.counted, self.joules.polled, self.joules.held_seconds
        for gpu in self._gpus:
            if gpu.share.high == 0:
                gpu.value = None
                continue
            joules = self._drawn(gpu, passed)
            if joules is None:
                continue
            held += passed * gpu.share.best / len(self._gpus)
            if gpu.has_counter:
                counted += (gpu.share * joules * COUNTER_ACCURACY).at_most(COUNTER_ACCURACY.high * joules)
            else:
                polled += (gpu.share * joules * POLLED_ACCURACY).at_most(POLLED_ACCURACY.high * joules)
        self.joules = GpuJoules(counted, polled, held)

    def _drawn(self, gpu: GpuCounter, passed: float) -> float | None:
        """Joules of a GPU since the last time; None for the first time, and after a reset."""
        before = gpu.value
        try:
            if gpu.has_counter:
                try:
                    gpu.value = self._nvml.joules(gpu.number)
                except NvmlError:
                    gpu.has_counter, before = False, None
            if not gpu.has_counter:
                gpu.value = self._nvml.watts(gpu.number)
        except NvmlError:  # the GPU has fallen off the bus
            gpu.value = None
        if before is None or gpu.value is None:
            return None
        if not gpu.has_counter:
            return (before + gpu.value) / 2 * passed
        joules = gpu.value - before
        return joules if 0 <= joules <= MAX_WATTS * max(passed, 1.0) else None

    def _find_owners(self) -> None:
        """Ask who uses each GPU, and set this process's shares."""
        own, torch_uuids = set(self._own_pids()), _uuids_of_torch()
        for gpu in self._gpus:
            try:
                processes = self._nvml.processes(gpu.number)
            except NvmlError:
                processes = []
            ours = [process for process in processes if process.pid in own]
            if ours:
                gpu.share = self._share(gpu.number, ours, [each for each in processes if each.pid not in own])
            elif gpu.uuid in torch_uuids:  # a container does not know its processes by the host's numbers
                gpu.share = _share_by_count(max(1, len(processes)))
            else:
                gpu.share = NOTHING

    def _share(self, number: int, ours: Sequence[GpuProcess], others: Sequence[GpuProcess]) -> Range:
        if not others:
            return exactly(1.0)
        if any(process.slices < MAX_SLICES for process in (*ours, *others)):
            slices = max(process.slices for process in ours)
            return (PARTITION_SHARE * (slices / MAX_SLICES)).at_most(1.0)
        with suppress(NvmlError):
            percents = self._nvml.use(number, 0)
            own = sum(percents.get(process.pid, 0) for process in ours)
            total = own + sum(percents.get(process.pid, 0) for process in others)
            if total > 0:
                share = own / total
                return Range(max(0.0, share - USE_SPREAD * (1 - share)), share, min(1.0, share + USE_SPREAD * (1 - share)))
        return _share_by_count(len(ours) + len(others), len(ours))


def _share_by_count(all_processes: int, own: int = 1) -> Range:
    """Of a GPU that nothing but the number of its processes is known of."""
    return exactly(1.0) if own == all_processes else Range(0.0, own / all_processes, 1.0)


def _uuids_of_torch() -> set[str]:
    """Of the GPUs in which this process has memory by torch, if that is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return set()
    numbers = [number for number in range(torch.cuda.device_count()) if torch.cuda.memory_reserved(number)]
    return {f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in numbers}


def _or_empty(ask: Callable[[int], str], number: int) -> str:
    try:
        return ask(number)
    except NvmlError:
        return ""
