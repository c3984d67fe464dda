"""What this process draws, from its processor time and the counters of the whole machine."""

from lmcraft.energy import flops as flops_rung
from lmcraft.energy import power_model
from lmcraft.energy.gpus import PLUG_FACTOR as GPU_PLUG_FACTOR
from lmcraft.energy.gpus import GpuJoules
from lmcraft.energy.machine_counters import Totals
from lmcraft.energy.power_table import MachinePower
from lmcraft.energy.ranges import Range, exactly
from lmcraft.energy.reading import Drawn, add_drawn

GPUS_OF_A_SERVER = 8  # a container may see one of them


def drawn_by_processor(own: float, window: Totals, power: MachinePower, rung: str, *, has_memory: bool) -> Drawn:
    """Of an amount of processor time.

    Args:
        own: processor seconds of this process.
        window: the counters of a time in which most of it passed.
        rung: rapl or cpu time.
        has_memory: whether RAPL counts memory.
    """
    activity = window.activity
    is_counted = rung == "rapl" and activity.processor_seconds > 0
    counted = own - min(own, window.missed_seconds) if is_counted else 0.0
    missed = own - counted
    drawn: Drawn = {}
    if counted > 0:
        share = counted / activity.processor_seconds
        package = power_model.package_by_counter(window.package_joules, activity) * share
        memory = (
            power_model.memory_by_counter(window.memory_joules, activity) * share
            if has_memory
            else power_model.memory_by_time(exactly(counted), power)
        )
        drawn = _with_rest(package, memory, exactly(counted), power, "rapl")
    if missed > 0:
        seconds = Range(missed * (1 - activity.stolen_share), missed, missed)
        package = power_model.package_by_time(seconds, activity.load, power)
        memory = power_model.memory_by_time(seconds, power)
        drawn = add_drawn(drawn, _with_rest(package, memory, seconds, power, "cpu time"))
    return drawn


def drawn_by_gpus(gpu: GpuJoules, own: float, power: MachinePower, visible_gpus: int) -> Drawn:
    """Of the GPUs, with their losses, and what the machine draws while it waits for its GPUs.

    Args:
        gpu: of this process.
        own: its processor seconds meanwhile.
        visible_gpus: of the machine; the driver may hide others from a container.
    """
    joules = gpu.counted + gpu.polled
    host = power_model.idle_machine(max(0.0, gpu.held_seconds * power.cpus - own), power)
    host = Range(host.low * min(1.0, visible_gpus / GPUS_OF_A_SERVER), host.best, host.high)
    return {("gpu", "nvml"): joules, ("rest", "nvml"): host + joules * GPU_PLUG_FACTOR.minus_one()}


def drawn_by_flops(flops: float, seconds: float, power: MachinePower) -> Drawn:
    """Of a number of floating-point operations on the processor."""
    own = flops_rung.processor_seconds(flops, seconds)
    package = power_model.package_by_time(own, 0.0, power)
    return _with_rest(package, power_model.memory_by_time(own, power), own, power, "flops")


def drawn_by_unknown_gpu(flops: float) -> Drawn:
    """Of a number of floating-point operations on a GPU that has no counter."""
    joules = flops_rung.gpu_joules(flops)
    return {("gpu", "flops"): joules, ("rest", "flops"): joules * GPU_PLUG_FACTOR.minus_one()}


def _with_rest(package: Range, memory: Range, seconds: Range, power: MachinePower, method: str) -> Drawn:
    rest = power_model.rest_of_machine(package, memory, seconds, power)
    return {("processor", method): package, ("memory", method): memory, ("rest", method): rest}
