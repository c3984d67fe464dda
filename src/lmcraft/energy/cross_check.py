"""Some seconds of work by every rung that can be read here, and by CodeCarbon if it is installed."""

import importlib
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from lmcraft.energy.energy import JOULES_PER_KWH, Energy
from lmcraft.energy.meter import RUNGS, make_meter
from lmcraft.errors import UserError
from lmcraft.processor import usable_cpus

MATRIX_SIZE = 512
MIN_LOAD = 0.9  # of the CPUs, for a figure of all being busy
# Of CodeCarbon's figures to an external meter's, in its validation (arXiv 2509.22092).
CODECARBON_ERROR = 0.4


@dataclass(frozen=True)
class CodeCarbonEnergy:
    """CodeCarbon's joules of this process, for processor, memory and GPUs; board and losses are not in them."""

    processor: float
    memory: float
    gpu: float
    version: str

    def agrees_with(self, energy: Energy) -> bool:
        """Whether what both count can be the same: the intervals overlap, CodeCarbon's being 40% wide on each side."""
        counted = [part for name, part in energy.parts.items() if name in ("processor", "gpu")]
        low, high = sum(part.low for part in counted), sum(part.high for part in counted)
        joules = self.processor + self.gpu
        return low <= joules * (1 + CODECARBON_ERROR) and joules * (1 - CODECARBON_ERROR) <= high


@dataclass(frozen=True)
class CheckedLoad:
    """What the meters say of a piece of work."""

    threads: int
    seconds: float
    processor_seconds: float
    energies: Mapping[str, Energy]
    """By rung, the most exact first."""
    codecarbon: CodeCarbonEnergy | None

    @property
    def watts_per_cpu(self) -> float | None:
        """What a CPU draws by RAPL while all are busy, for LMCRAFT_CPU_WATTS; None without RAPL, or if some were idle."""
        rapl = self.energies.get("rapl")
        if rapl is None or self.processor_seconds < MIN_LOAD * self.seconds * usable_cpus() or self.threads < usable_cpus():
            return None
        return rapl.parts["processor"].joules / self.processor_seconds

    def as_json(self) -> dict[str, Any]:
        """For `lmcraft doctor --energy --json`."""
        return {
            "threads": self.threads,
            "seconds": self.seconds,
            "processor_seconds": self.processor_seconds,
            "energies": {method: energy.as_json() for method, energy in self.energies.items()},
            "in_interval_above": self.in_interval_above(),
            "codecarbon": None if self.codecarbon is None else asdict(self.codecarbon),
            "watts_per_cpu": self.watts_per_cpu,
        }

    def in_interval_above(self) -> dict[str, bool]:
        """For each rung but the first, whether its figure is in the interval of the rung above."""
        rungs = list(self.energies.items())
        return {name: above.low <= energy.joules <= above.high for (_, above), (name, energy) in pairwise(rungs)}


def cross_check(seconds: float = 3.0) -> list[CheckedLoad]:
    """Multiply matrices on all CPUs that this process may use, then on one, and read every meter."""
    counts = sorted({usable_cpus(), 1}, reverse=True)
    return [_check(threads, seconds) for threads in counts]


def _check(threads: int, seconds: float) -> CheckedLoad:
    meters = []
    for method in RUNGS[:-1]:
        try:
            meters.append(make_meter(method))
        except UserError:  # this rung cannot be read here
            continue
    readings = [meter.read() for meter in meters]
    tracker = start_codecarbon()
    begin = time.monotonic()
    flops = multiply_matrices(threads, seconds)
    passed = time.monotonic() - begin
    energies = {}
    for meter, since in zip(meters, readings, strict=True):
        until = meter.read()
        energies[meter.method] = meter.energy(since, until, flops=flops)
        processor_seconds = until.processor_seconds - since.processor_seconds
    return CheckedLoad(threads, passed, processor_seconds, energies, stop_codecarbon(tracker))


def multiply_matrices(threads: int, seconds: float) -> float:
    """Keep some threads busy for a time; returns the number of floating-point operations."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        matrix = torch.randn(MATRIX_SIZE, MATRIX_SIZE)
        products = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            matrix @ matrix
            products += 1
    finally:
        torch.set_num_threads(before)
    return 2.0 * products * MATRIX_SIZE**3


def start_codecarbon() -> Any:
    """A tracker of this process that asks nothing over the network; None if CodeCarbon is not installed."""
    try:
        codecarbon = importlib.import_module("codecarbon")
    except ImportError:
        return None
    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    tracker = codecarbon.OfflineEmissionsTracker(
        country_iso_code="FRA",  # it needs one; only its energy is read
        measure_power_secs=1,
        tracking_mode="process",
        save_to_file=False,
        log_level="error",
        allow_multiple_runs=True,
    )
    tracker.start()
    return tracker


def stop_codecarbon(tracker: Any) -> CodeCarbonEnergy | None:
    if tracker is None:
        return None
    tracker.stop()
    data = tracker.final_emissions_data
    processor, memory, gpu = (float(kwh) * JOULES_PER_KWH for kwh in (data.cpu_energy, data.ram_energy, data.gpu_energy))
    return CodeCarbonEnergy(processor, memory, gpu, str(data.codecarbon_version))
