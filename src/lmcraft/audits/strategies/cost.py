"""What a computation costs: processor time, and energy from the counters of the machine or, without any, an estimate.

Counters: RAPL of Intel's and AMD's processors (`/sys/class/powercap`, for root only on most systems) and NVML of NVIDIA's
GPUs. Both count what the whole machine draws.
"""

import ctypes
import resource
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from lmcraft.folder import read_json, write_json

POWERCAP = Path("/sys/class/powercap")
NVML = "libnvidia-ml.so.1"
RECORD_SECONDS = 5.0


@dataclass(frozen=True)
class Cost:
    """Time and energy."""

    seconds: float = 0.0
    """On the clock."""
    processor_seconds: float = 0.0
    """Of all cores, this process and its children."""
    joules: float = 0.0
    """Counted; 0 without a counter."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.seconds + other.seconds, self.processor_seconds + other.processor_seconds, self.joules + other.joules
        )

    def energy(self, watts_per_core: float) -> float:
        """In joules: as counted, or estimated from the processor time."""
        return self.joules or self.processor_seconds * watts_per_core


@contextmanager
def recording_cost(file: Path) -> Iterator[None]:
    """Add what the block costs to a file, every few seconds, so that a killed process loses little."""
    before, begin = read_cost(file), _Reading.take()
    is_over = threading.Event()

    def record() -> None:
        write_json(file, asdict(before + _Reading.take().cost_since(begin)))

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


def read_cost(file: Path) -> Cost:
    """What a file has recorded so far."""
    return Cost(**read_json(file)) if file.is_file() else Cost()


@dataclass(frozen=True)
class _Reading:
    seconds: float
    processor_seconds: float
    joules: Mapping[str, tuple[float, float]]
    """By counter: its value, and the value at which it starts again at 0."""

    @classmethod
    def take(cls) -> "_Reading":
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(monotonic(), sum(u.ru_utime + u.ru_stime for u in usage), read_counters())

    def cost_since(self, earlier: "_Reading") -> Cost:
        joules = 0.0
        for name, (value, limit) in self.joules.items():
            if name in earlier.joules:
                difference = value - earlier.joules[name][0]
                joules += difference if difference >= 0 else difference + limit
        return Cost(self.seconds - earlier.seconds, self.processor_seconds - earlier.processor_seconds, joules)


def read_counters(powercap: Path = POWERCAP) -> dict[str, tuple[float, float]]:
    """The value in joules of each counter of the machine that can be read, and the value at which it starts again at 0."""
    counters = {}
    for file in sorted(powercap.glob("intel-rapl:*/energy_uj")):
        if file.parent.name.count(":") == 1:  # a package; its parts have counters of their own
            with suppress(OSError, ValueError):
                limit = int((file.parent / "max_energy_range_uj").read_text())
                counters[file.parent.name] = (int(file.read_text()) / 1e6, limit / 1e6)
    return counters | _read_gpus()


def _read_gpus() -> dict[str, tuple[float, float]]:
    try:
        library = ctypes.CDLL(NVML)
    except OSError:
        return {}
    counters = {}
    count = ctypes.c_uint()
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return {}
    for number in range(count.value):
        device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
        if not library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) and not (
            library.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules))
        ):
            counters[f"gpu {number}"] = (millijoules.value / 1e3, 0.0)
    return counters


def describe_energy_source(watts_per_core: float) -> str:
    """Where the figures of energy come from, as a sentence."""
    counters = read_counters()
    if not counters:
        return f"Energy is estimated: {watts_per_core:g} W for each busy core. No counter of this machine can be read."
    return f"Energy is what the whole machine drew, by {', '.join(counters)}."
