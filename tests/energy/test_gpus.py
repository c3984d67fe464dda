"""The GPUs of this process: counters, shared GPUs, partitions, and containers."""

import sys
from types import SimpleNamespace

import pytest

from lmcraft.energy.gpus import GpuCounters
from lmcraft.energy.meter import Meter
from lmcraft.energy.nvml import Nvml, NvmlError
from lmcraft.energy.power_table import MachinePower
from lmcraft.energy.ranges import exactly
from tests.energy.fake_nvml import FakeGpu, FakeLibrary

OWN = 4242
POWER = MachinePower(exactly(4.0), 16, False, "test", 64.0)


def counters(*gpus: FakeGpu) -> GpuCounters:
    return GpuCounters(Nvml(FakeLibrary(list(gpus))), lambda: [OWN])


def run(gpu_counters: GpuCounters, *gpus: FakeGpu, watts: int = 500, seconds: int = 10) -> None:
    gpu_counters.advance(100.0)
    for second in range(seconds):
        for gpu in gpus:
            gpu.millijoules += watts * 1000
        gpu_counters.advance(101.0 + second)


def test_the_gpu_of_this_process_counts_whole_and_others_do_not() -> None:
    used, idle = FakeGpu(processes=[(OWN, 0)]), FakeGpu(uuid="GPU-1", processes=[(7, 0)])
    both = counters(used, idle)
    run(both, used, idle)
    assert both.joules.counted.best == pytest.approx(5000)
    assert both.joules.counted.low == pytest.approx(4650) and both.joules.counted.high == pytest.approx(5350)
    assert both.joules.held_seconds == pytest.approx(10 / 2) and both.in_use


def test_a_shared_gpu_is_split_by_use_within_an_interval() -> None:
    gpu = FakeGpu(processes=[(OWN, 0), (7, 0)], use={OWN: 60, 7: 20})
    shared = counters(gpu)
    run(shared, gpu)
    joules = shared.joules.counted
    assert joules.best == pytest.approx(0.75 * 5000)
    assert joules.low < 0.7 * 5000 < 0.85 * 5000 < joules.high <= 5350


def test_a_shared_gpu_without_figures_may_be_all_or_nothing() -> None:
    gpu = FakeGpu(processes=[(OWN, 0), (7, 0), (8, 0)])
    shared = counters(gpu)
    run(shared, gpu)
    joules = shared.joules.counted
    assert joules.best == pytest.approx(5000 / 3) and joules.low == 0 and joules.high > 5000


def test_a_partition_has_its_slices() -> None:
    gpu = FakeGpu(processes=[(OWN, 2), (7, 5)], partitions={2: 3, 5: 4})
    partitioned = counters(gpu)
    run(partitioned, gpu)
    joules = partitioned.joules.counted
    assert joules.best == pytest.approx(5000 * 3 / 7) and joules.low < joules.best < joules.high


def test_power_is_sampled_where_there_is_no_counter() -> None:
    gpu = FakeGpu(processes=[(OWN, 0)], has_counter=False)
    sampled = counters(gpu)
    run(sampled, gpu)
    assert sampled.joules.polled.best == pytest.approx(3000) and sampled.joules.counted.best == 0
    assert sampled.period < 1


def test_a_counter_that_starts_again_and_a_gpu_that_is_lost_count_nothing_wrong() -> None:
    gpu = FakeGpu(processes=[(OWN, 0)])
    single = counters(gpu)
    run(single, gpu)
    gpu.millijoules = 5
    single.advance(120.0)
    assert single.joules.counted.best == pytest.approx(5000)
    gpu.is_lost = True
    single.advance(121.0)
    gpu.is_lost = False
    single.advance(122.0)
    assert single.joules.counted.best == pytest.approx(5000)


def test_a_container_knows_its_gpu_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, other = FakeGpu(uuid="GPU-abc", processes=[(99999, 0)]), FakeGpu(uuid="GPU-def")
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 1,
        memory_reserved=lambda number: 1,
        get_device_properties=lambda number: SimpleNamespace(uuid="abc"),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    both = counters(gpu, other)
    run(both, gpu, other)
    assert both.joules.counted.best == pytest.approx(5000)


@pytest.mark.parametrize("status", [1, 9], ids=["uninitialized", "driver not loaded"])
def test_a_library_without_a_driver(status: int) -> None:
    with pytest.raises(NvmlError):
        Nvml(FakeLibrary([], init_status=status))


def test_an_old_driver_lacks_functions() -> None:
    gpu = FakeGpu(processes=[(OWN, 0)])
    library = FakeLibrary([gpu])
    old = SimpleNamespace(
        **{name: getattr(library, name) for name in dir(library) if name.startswith("nvml") and "Mig" not in name}
    )
    old_driver = GpuCounters(Nvml(old), lambda: [OWN])
    run(old_driver, gpu)
    assert old_driver.joules.counted.best == pytest.approx(5000)


def test_energy_has_the_gpu_its_losses_and_the_waiting_machine() -> None:
    gpu = FakeGpu(processes=[(OWN, 0)])
    clock, own = [100.0], [0.0]
    meter = Meter(
        "cpu time",
        POWER,
        gpus=counters(gpu),
        read_machine_load=lambda: None,
        processor_seconds=lambda: own[0],
        clock=lambda: clock[0],
    )
    assert meter.method == "cpu time"
    since = meter.read()
    for _ in range(10):
        clock[0] += 1
        own[0] += 1
        gpu.millijoules += 500_000
        until = meter.read()
    energy = meter.energy(since, until)
    assert meter.method == energy.method == "nvml + cpu time" and "NVIDIA H200" in meter.describe()
    assert energy.parts["gpu"].joules == pytest.approx(5000)
    assert energy.parts["rest"].joules > 0.14 * 5000  # 15 idle CPUs wait for the GPU
    assert energy.low < energy.joules < energy.high
