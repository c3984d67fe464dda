"""The device, the data type and the peak speed of this machine: asked where the system knows, otherwise measured."""

import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.measurements import MAX_MEASURE_SECONDS, is_busy, measure_once
from lmcraft.processor import cpu_name, has_bf16

Precision = Literal["auto", "bf16", "fp32"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
GPU_KINDS = ("cuda", "mps")

# bfloat16 has a third of float32's digits, so it must be clearly faster to be worth it.
MIN_BF16_SPEEDUP = 1.4

MAX_MEASUREMENTS = 12  # of each type: enough that some run undisturbed
MEASUREMENTS_PER_SIZE = 3  # before deciding whether there is time for the next size
# The smallest product takes no time even where bfloat16 is emulated; each size takes 8 times as long as the one before.
MATRIX_SIZES = {"cpu": (32, 64, 128, 256, 512, 1024), "gpu": (1024, 2048, 4096, 8192)}


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes."""

    device: torch.device
    dtype: torch.dtype
    """Type of the activations; weights train in float32."""
    measured_flops: float | None = None
    """`peak_flops`, if it is known already."""
    description: str = ""
    """The choice and its reason in one line, for the terminal."""

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        """`dtype` as a setting."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"

    @property
    def peak_flops(self) -> float:
        """Floating-point operations per second of a large matrix product in `dtype`, measured when it is first needed."""
        return self.measured_flops or matmul_flops(str(self.device), (self.precision,))[self.precision]


def choose_machine(device: str = "auto", precision: Precision = "auto") -> Machine:
    """Pick the device and the data type. The types are measured only if both are possible.

    Raises:
        UserError: this machine does not have the requested device.
    """
    device = choose_device(device)
    if precision != "auto":
        return Machine(torch.device(device), DTYPES[precision], description=f"{precision} on {device}")
    if device == "cpu" and not has_bf16():
        return Machine(torch.device(device), DTYPES["fp32"], description="fp32 on cpu, which has no bf16 instructions")
    flops = matmul_flops(device, ("bf16", "fp32"))
    precision = "bf16" if flops["bf16"] > MIN_BF16_SPEEDUP * flops["fp32"] else "fp32"
    measured = f"matrix products reach {flops['bf16'] / 1e12:.2f} TFLOP/s in bf16 and {flops['fp32'] / 1e12:.2f} in fp32"
    return Machine(torch.device(device), DTYPES[precision], flops[precision], f"{precision} on {device} ({measured})")


def choose_device(device: str) -> str:
    """The name of a device that exists; auto picks a GPU if there is one.

    Raises:
        UserError: there is no such device here.
    """
    if device == "auto":
        return gpu_kind() or "cpu"
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        kind, index = "", 0
    if kind not in ("cpu", *GPU_KINDS):
        raise UserError(f"device='{device}' is not a device: use auto, cpu, {' or '.join(GPU_KINDS)}")
    if kind == "cpu":
        return "cpu"
    if kind != gpu_kind():
        raise UserError(f"device='{device}', but torch sees no {'such ' if gpu_kind() else ''}GPU here: use --device cpu")
    if index >= (count := torch.accelerator.device_count()):
        raise UserError(f"device='{device}', but torch sees {count} GPU{'s' if count > 1 else ''} here: use --device {kind}")
    return device


def gpu_kind() -> str:
    """The kind of GPU that torch sees, as in `--device`: cuda (NVIDIA's, and AMD's with ROCm) or mps (Apple's); "": none."""
    gpu = torch.accelerator.current_accelerator(check_available=True)
    return gpu.type if gpu is not None and gpu.type in GPU_KINDS else ""


@cache
def matmul_flops(device: str, precisions: tuple[str, ...]) -> dict[str, float]:
    """The best floating-point operations per second of several products of each precision.

    Measured once per process and, for a CPU, once per machine (`measure_once`). A GPU is measured again in each process:
    this is quick, and its clocks and partitions change. So is a busy CPU.
    """
    if device != "cpu":
        return _measure_flops(device, precisions)
    measure = _measure_on_one_thread if is_busy() else partial(_measure_flops, device)
    return measure_once("products", precisions, lambda: measure(precisions))


def _measure_on_one_thread(precisions: Sequence[str]) -> dict[str, float]:
    """The speed of this CPU's threads, as a multiple of one thread's.

    On a busy machine, the threads of one product wait for each other: products seem up to a thousand times slower than they
    are. A short product on one thread often runs undisturbed.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return {name: num_threads * flops for name, flops in _measure_flops("cpu", precisions).items()}
    finally:
        torch.set_num_threads(num_threads)


def _measure_flops(device: str, precisions: Sequence[str]) -> dict[str, float]:
    """The best speed of each precision; the sizes are tried in order while there is time left for the next one."""
    sizes = MATRIX_SIZES["cpu" if device == "cpu" else "gpu"]
    begin = time.perf_counter()
    operands: dict[str, tuple[Tensor, Tensor]] = {}
    seconds: dict[str, float] = {}  # of the fastest product of each type's latest size
    flops = dict.fromkeys(precisions, 0.0)

    def set_size(name: str, size: int) -> None:
        """Choose the operands of the next measurements, and warm up."""
        a, b = (torch.randn(size, size, device=device).to(DTYPES[name]) for _ in range(2))
        operands[name], seconds[name] = (a, b), math.inf
        _time_product(a, b)

    def measure(name: str) -> None:
        seconds[name] = min(seconds[name], _time_product(*operands[name]))
        flops[name] = max(flops[name], 2 * len(operands[name][0]) ** 3 / seconds[name])

    def seconds_left() -> float:
        return MAX_MEASURE_SECONDS - (time.perf_counter() - begin)

    for name in precisions:
        set_size(name, sizes[0])
    begin = time.perf_counter()  # starting the device is not part of the measurement
    for size in sizes:
        for name in precisions:
            if size > sizes[0]:
                # The next size takes 8 times as long and runs at least twice; allow as much again for the other type.
                if 4 * 8 * seconds[name] > seconds_left():
                    continue
                set_size(name, size)
            measure(name)
            for _ in range(MEASUREMENTS_PER_SIZE - 1):
                if seconds[name] < seconds_left():
                    measure(name)
    for _ in range(MAX_MEASUREMENTS - 1):
        for name in precisions:
            if seconds[name] < seconds_left():
                measure(name)
    return flops


def _time_product(a: Tensor, b: Tensor) -> float:
    begin = time.perf_counter()
    a @ b
    if a.device.type != "cpu":
        torch.accelerator.synchronize(a.device)
    return time.perf_counter() - begin


def machine_name(device: torch.device) -> str:
    """The processor and its number of threads, or the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"the GPU of {cpu_name()} (mps)"
    count = torch.get_num_threads()
    return f"{cpu_name()}, {count} thread{'s' if count > 1 else ''}"


def hardware(device: torch.device, gpus: int = 1) -> str:
    """What a run computes on, for people: the processor and its cores, or its GPUs."""
    if device.type == "cuda":
        return f"{gpus} x {torch.cuda.get_device_name(device)}"
    cores = os.cpu_count() or 1
    return machine_name(device) if device.type == "mps" else f"{cpu_name()}, {cores} core{'s' if cores > 1 else ''}"


def peak_memory(device: torch.device | None = None) -> int:
    """Peak memory of this process so far, in bytes: of a GPU's memory, else of the machine's."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Bytes that a device can still allocate; on the CPU within the limits of this process's control groups."""
    if device.type != "cpu":
        return _gpu_memory(device)[0]
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    free = next(1024 * int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    return min([free, *_free_in_control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def total_memory(device: torch.device) -> int:
    """Total memory of a device, in bytes."""
    if device.type != "cpu":
        return _gpu_memory(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _gpu_memory(device: torch.device) -> tuple[int, int]:
    """Free and total memory of a GPU, in bytes. Apple's share the machine's; the driver grants them a part."""
    if device.type == "mps":
        total = torch.mps.recommended_max_memory()
        return max(0, total - torch.mps.driver_allocated_memory()), total
    return torch.cuda.mem_get_info(device)


def _free_in_control_groups(root: Path, membership: Path) -> list[int]:
    """Bytes free in each control group (version 2) of this process that has a limit; cached files count as free."""
    free = []
    try:
        name = next(line.split("::")[1] for line in membership.read_text().splitlines() if "::" in line)
        group = root / name.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root) or not (folder / "memory.max").is_file():
                continue
            limit = (folder / "memory.max").read_text().strip()
            if limit != "max":
                cached = next(line for line in (folder / "memory.stat").read_text().splitlines() if "inactive_file" in line)
                used = int((folder / "memory.current").read_text()) - int(cached.split()[1])
                free.append(max(0, int(limit) - used))
    except (OSError, StopIteration, ValueError, IndexError):
        pass  # no control groups, or they cannot be read: nothing is known to limit this process
    return free
