"""The last rung: energy from the number of floating-point operations, where no counter tells what computes."""

import sys

from lmcraft.energy.ranges import Range
from lmcraft.processor import usable_cpus

# Of the speed of this machine's large matrix products, what work reaches: a small model that decodes spends most of its time
# on memory and on calls; integer kernels are faster than products in floating point.
PROCESSOR_EFFICIENCY = Range(0.01, 0.09, 1.5)
# Of GPUs without a counter: from 0.7 pJ at the peak of an H100 (700 W, 990 TFLOP/s in bfloat16) to small models on old ones.
GPU_JOULES_PER_FLOP = Range(0.7e-12, 6e-12, 60e-12)


def processor_seconds(flops: float, seconds: float) -> Range:
    """The processor time of an amount of work on this machine's CPUs: no more than all of them had on the clock."""
    from lmcraft.machine import matmul_flops
    from lmcraft.processor import has_bf16

    limit = seconds * usable_cpus()
    if flops <= 0:
        return Range(0.0, 0.0, limit)  # work of which nothing is known
    speeds = matmul_flops("cpu", ("bf16", "fp32") if has_bf16() else ("fp32",))
    ideal = flops / max(speeds.values()) * usable_cpus()
    return Range(
        ideal / PROCESSOR_EFFICIENCY.high, ideal / PROCESSOR_EFFICIENCY.best, ideal / PROCESSOR_EFFICIENCY.low
    ).at_most(limit)


def gpu_joules(flops: float) -> Range:
    """Of a GPU that has no counter."""
    return GPU_JOULES_PER_FLOP * flops


def computes_on_gpu() -> bool:
    """Whether this process has memory on a GPU by torch, of any maker."""
    torch = sys.modules.get("torch")
    if torch is None:
        return False
    if torch.cuda.is_initialized():
        return any(torch.cuda.memory_reserved(number) for number in range(torch.cuda.device_count()))
    return bool(sys.platform == "darwin" and torch.backends.mps.is_available() and torch.mps.driver_allocated_memory())
