"""What this machine computes with: its device, its number type and its peak, each measured rather than assumed."""

import os
import resource
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from lmcraft.errors import UserError

Precision = Literal["auto", "bf16", "fp32"]
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}

# bfloat16 halves the digits of every activation; it has to be clearly faster to be worth that.
WORTHWHILE = 1.4
MEASUREMENTS = 12  # so many that some are undisturbed


@dataclass(frozen=True)
class Machine:
    """Where and how a run computes."""

    device: torch.device
    dtype: torch.dtype
    """Type of the activations; weights train in float32."""
    peak_flops: float
    """Floating-point operations a second of a large matrix product in `dtype`, measured."""
    why: str
    """The choice in one sentence, to be said aloud."""


def choose_machine(device: str = "auto", precision: Precision = "auto") -> Machine:
    """Pick the device and the number type.

    Raises:
        UserError: the device that is asked for is not there.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device='{device}', but torch sees no GPU here: use --device cpu")
    bf16, fp32 = matmul_flops(device)
    if precision == "auto":
        precision = "bf16" if bf16 > WORTHWHILE * fp32 else "fp32"
    measured = f"matrix products reach {bf16 / 1e12:.2f} TFLOP/s in bf16 and {fp32 / 1e12:.2f} in fp32"
    peak = bf16 if precision == "bf16" else fp32
    return Machine(torch.device(device), DTYPES[precision], peak, f"{precision} on {device} ({measured})")


@cache
def matmul_flops(device: str, size: int = 1024) -> tuple[float, float]:
    """Operations a second of a square matrix product in bfloat16 and in float32: the best of several, taken in turns."""
    if device != "cpu":
        size = 8 * size
    pairs = [
        [torch.randn(size, size, device=device).to(dtype) for _ in range(2)] for dtype in (torch.bfloat16, torch.float32)
    ]
    best = [float("inf")] * 2
    for _ in range(MEASUREMENTS):
        for n, (a, b) in enumerate(pairs):
            start = time.perf_counter()
            a @ b
            if device != "cpu":
                torch.cuda.synchronize()
            best[n] = min(best[n], time.perf_counter() - start)
    return 2 * size**3 / best[0], 2 * size**3 / best[1]


def peak_memory() -> int:
    """The most memory that this process has held so far, in bytes (resident, on the CPU)."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device; on the CPU within the limits of this process's control groups."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        meminfo = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:  # not Linux
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    free = next(1024 * int(line.split()[1]) for line in meminfo.splitlines() if line.startswith("MemAvailable"))
    return min([free, *_free_in_groups(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def _free_in_groups(root: Path, membership: Path) -> list[int]:
    """What each control group of this process that has a limit (version 2) leaves it; cached files count as free."""
    found = []
    try:
        own = next(line.split("::")[1] for line in membership.read_text().splitlines() if "::" in line)
        group = root / own.strip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root) or not (folder / "memory.max").is_file():
                continue
            limit = (folder / "memory.max").read_text().strip()
            if limit != "max":
                cached = next(line for line in (folder / "memory.stat").read_text().splitlines() if "inactive_file" in line)
                used = int((folder / "memory.current").read_text()) - int(cached.split()[1])
                found.append(max(0, int(limit) - used))
    except (OSError, StopIteration, ValueError, IndexError):
        pass  # no groups, or not ours to read: then nothing is known to limit this process
    return found
