"""The device, the data type and the peak speed of this machine, measured rather than assumed."""

import contextlib
import hashlib
import json
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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

MAX_MEASURE_SECONDS = 0.2  # for both types together
MAX_MEASUREMENTS = 12  # of each type: enough that some run undisturbed
MEASUREMENTS_PER_SIZE = 3  # before deciding whether there is time for the next size
MAX_LOAD_PER_CORE = 0.5  # above it, other programs slow the measurement down too much to cache it
MATRIX_SIZES = {"cpu": (128, 256, 512, 1024), "cuda": (1024, 2048, 4096, 8192)}
EMULATED_BF16_SIZES = (128,)  # where bfloat16 has no instructions, larger products would take too long

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
    peak_flops: float
    """Floating-point operations per second of a large matrix product in `dtype`, measured."""
    description: str
    """The choice and the measured speeds in one line, for the terminal."""

    @property
    def precision(self) -> Literal["bf16", "fp32"]:
        """`dtype` as a setting."""
        return "bf16" if self.dtype == torch.bfloat16 else "fp32"


@dataclass(frozen=True)
class MatmulSpeed:
    """Floating-point operations per second of square matrix products."""

    bf16: float
    fp32: float


def choose_machine(device: str = "auto", precision: Precision = "auto") -> Machine:
    """Pick the device and the data type.

    Raises:
        UserError: this machine does not have the requested device.
    """
    device = choose_device(device)
    speed = matmul_speed(device)
    if precision == "auto":
        precision = "bf16" if speed.bf16 > MIN_BF16_SPEEDUP * speed.fp32 else "fp32"
    measured = f"matrix products reach {speed.bf16 / 1e12:.2f} TFLOP/s in bf16 and {speed.fp32 / 1e12:.2f} in fp32"
    peak = speed.bf16 if precision == "bf16" else speed.fp32
    return Machine(torch.device(device), DTYPES[precision], peak, f"{precision} on {device} ({measured})")


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
def matmul_speed(device: str) -> MatmulSpeed:
    """The best speed of several products; measured once per process and, for a CPU, once per machine (`_cache_file`).

    A GPU is measured again in each process: this is quick, and its clocks and partitions change. So is a busy CPU.
    """
    if device != "cpu":
        return _measure_matmul_speed(device)
    file = _cache_file()
    speed = _read_speed(file)
    if speed is None and _is_busy():
        return _measure_on_one_thread()
    if speed is None:
        speed = _measure_matmul_speed(device)
        with contextlib.suppress(OSError):  # a cache that cannot be written costs the next process 0.2 s
            write_json(file, asdict(speed))
    return speed


def _is_busy() -> bool:
    """Whether other programs used much of this machine during the last minute; false where the system does not say."""
    try:
        return os.getloadavg()[0] > MAX_LOAD_PER_CORE * (os.cpu_count() or 1)
    except OSError:
        return False


def _measure_matmul_speed(device: str) -> MatmulSpeed:
    sizes = MATRIX_SIZES["cpu" if device == "cpu" else "cuda"]
    bf16_sizes = EMULATED_BF16_SIZES if device == "cpu" and not has_bf16() else sizes
    flops = _measure_flops(device, {"bf16": bf16_sizes, "fp32": sizes})
    return MatmulSpeed(flops["bf16"], flops["fp32"])


def _measure_on_one_thread() -> MatmulSpeed:
    """The speed of this CPU's threads, as a multiple of one thread's.

    On a busy machine, the threads of one product wait for each other: products seem up to a thousand times slower than they
    are. A short product on one thread often runs undisturbed.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        speed = _measure_matmul_speed("cpu")
    finally:
        torch.set_num_threads(num_threads)
    return MatmulSpeed(num_threads * speed.bf16, num_threads * speed.fp32)


def _measure_flops(device: str, sizes: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """The best speed of each type; its sizes are tried in order while there is time left for the next one."""
    begin = time.perf_counter()
    operands: dict[str, tuple[Tensor, Tensor]] = {}
    seconds: dict[str, float] = {}  # of the fastest product of each type's latest size
    flops = dict.fromkeys(sizes, 0.0)

    def measure(name: str) -> None:
        seconds[name] = min(seconds[name], _time_product(*operands[name]))
        flops[name] = max(flops[name], 2 * len(operands[name][0]) ** 3 / seconds[name])

    def seconds_left() -> float:
        return MAX_MEASURE_SECONDS - (time.perf_counter() - begin)

    for step in range(max(map(len, sizes.values()))):
        for name in sizes:
            # The next size takes 8 times as long and runs at least twice; allow as much again for the other type.
            if step and (step >= len(sizes[name]) or 4 * 8 * seconds[name] > seconds_left()):
                continue
            size = sizes[name][step]
            operands[name] = (
                torch.randn(size, size, device=device).to(DTYPES[name]),
                torch.randn(size, size, device=device).to(DTYPES[name]),
            )
            _time_product(*operands[name])  # warms up
            if not step:
                begin = time.perf_counter()  # starting the device is not part of the measurement
            seconds[name] = math.inf
            measure(name)
            for _ in range(MEASUREMENTS_PER_SIZE - 1):
                if seconds[name] < seconds_left():
                    measure(name)
    for _ in range(MAX_MEASUREMENTS - 1):
        for name in sizes:
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


def _cache_file() -> Path:
    """The cache file for the speed of this CPU with this version of torch and this number of threads."""
    key = [*_cpu_identity(), platform.machine(), platform.processor(), torch.__version__, torch.get_num_threads()]
    return cache_folder() / "matmul_speed" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.json"


def _read_speed(file: Path) -> MatmulSpeed | None:
    """The speed that an earlier process measured; None where there is none, or the file is damaged."""
    try:
        speed = MatmulSpeed(**json.loads(file.read_text(encoding="utf-8")))
        valid = all(0 < value < math.inf for value in (speed.bf16, speed.fp32))
    except (OSError, ValueError, TypeError):
        return None
    return speed if valid else None


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
