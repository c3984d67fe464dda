"""The device, the data type and the peak speed of this machine: asked where the system knows, otherwise measured.

A measurement takes at most 0.2 s, happens when its number is first needed, and is kept in the cache folder.
"""

import contextlib
import hashlib
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lmcraft.errors import UserError
from lmcraft.folder import write_json
from lmcraft.hub.download_cache import cache_folder

Precision = Literal["auto", "bf16", "fp32"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

# bfloat16 has a third of float32's digits, so it must be clearly faster to be worth it.
MIN_BF16_SPEEDUP = 1.4

MAX_MEASURE_SECONDS = 0.2  # for all types together
MAX_MEASUREMENTS = 12  # of each type: enough that some run undisturbed
MEASUREMENTS_PER_SIZE = 3  # before deciding whether there is time for the next size
MAX_LOAD_PER_CORE = 0.5  # above it, other programs slow the measurement down too much to cache it
# The smallest product takes no time even where bfloat16 is emulated; each size takes 8 times as long as the one before.
MATRIX_SIZES = {"cpu": (32, 64, 128, 256, 512, 1024), "cuda": (1024, 2048, 4096, 8192)}

CPU_INFO = Path("/proc/cpuinfo")
# Flags of processors that multiply bfloat16 matrices, x86 first, then ARM. All others emulate it, a hundred times slower.
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16", "svebf16"}
# Lines of /proc/cpuinfo that say which processor this is; others change while it runs.
CPU_IDENTITY = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags"}
CPU_IDENTITY |= {"CPU implementer", "CPU architecture", "CPU variant", "CPU part", "Features"}


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
        UserError: a GPU is requested and torch sees none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device='{device}', but torch sees no GPU here: use --device cpu")
    return device


@cache
def matmul_flops(device: str, precisions: tuple[str, ...]) -> dict[str, float]:
    """The best floating-point operations per second of several products of each precision.

    Measured once per process and, for a CPU, once per machine (`_cache_file`). A GPU is measured again in each process: this
    is quick, and its clocks and partitions change. So is a busy CPU.
    """
    if device != "cpu":
        return _measure_flops(device, precisions)
    file = _cache_file()
    cached = _read_flops(file)
    if cached.keys() >= set(precisions):
        return cached
    if _is_busy():
        return _measure_on_one_thread(precisions)
    flops = cached | _measure_flops(device, precisions)
    with contextlib.suppress(OSError):  # a cache that cannot be written costs the next process 0.2 s
        write_json(file, flops)
    return flops


def _is_busy() -> bool:
    """Whether other programs used much of this machine during the last minute; false where the system does not say."""
    try:
        return os.getloadavg()[0] > MAX_LOAD_PER_CORE * (os.cpu_count() or 1)
    except OSError:
        return False


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
    sizes = MATRIX_SIZES["cpu" if device == "cpu" else "cuda"]
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
        torch.cuda.synchronize(a.device)
    return time.perf_counter() - begin


def has_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16; true where the system does not list them, since speed decides then."""
    flags = {flag for name, value in _cpu_identity() if name in ("flags", "Features") for flag in value.split()}
    return not flags or bool(flags & BF16_FLAGS)


def _cpu_identity() -> list[tuple[str, str]]:
    """The lines of /proc/cpuinfo that identify the processor, from its first core."""
    try:
        first_core = CPU_INFO.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:  # not Linux
        return []
    pairs = (line.partition(":")[::2] for line in first_core.splitlines())
    return [(name.strip(), value.strip()) for name, value in pairs if name.strip() in CPU_IDENTITY]


def machine_name(device: torch.device) -> str:
    """The processor and its number of threads, or the GPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = dict(_cpu_identity()).get("model name") or platform.processor() or platform.machine()
    count = torch.get_num_threads()
    return f"{name}, {count} thread{'s' if count > 1 else ''}"


def _cache_file() -> Path:
    """The cache file for the speed of this CPU with this version of torch and this number of threads."""
    key = [*_cpu_identity(), platform.machine(), platform.processor(), torch.__version__, torch.get_num_threads()]
    return cache_folder() / "matmul_flops" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"


def _read_flops(file: Path) -> dict[str, float]:
    """The speeds that earlier processes measured; empty where there are none, or the file is damaged."""
    try:
        flops = json.loads(file.read_text(encoding="utf-8"))
        valid = all(name in DTYPES and 0 < value < math.inf for name, value in flops.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return flops if valid else {}


def peak_memory() -> int:
    """Peak resident memory of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Bytes that a device can still allocate; on the CPU within the limits of this process's control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    free = next(1024 * int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    return min([free, *_free_in_control_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def total_memory(device: torch.device) -> int:
    """Total memory of a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


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
