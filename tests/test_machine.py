"""The choice of device and dtype, and the measurement behind it."""

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from lmcraft import machine, measurements, processor
from lmcraft.errors import UserError
from lmcraft.machine import choose_device, choose_machine, free_memory, matmul_flops
from lmcraft.measurements import MAX_MEASURE_SECONDS
from tests.clock import set_clock

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def empty_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path / "cache"))
    matmul_flops.cache_clear()
    yield
    matmul_flops.cache_clear()


FLOPS = {"bf16": 3e12, "fp32": 1e12}
BOTH = ("bf16", "fp32")


def count_measurements(monkeypatch: pytest.MonkeyPatch, **flops: float) -> list[tuple[str, ...]]:
    """The precisions of each measurement from now on."""
    measured: list[tuple[str, ...]] = []

    def measure(device: str, precisions: Sequence[str]) -> dict[str, float]:
        measured.append(tuple(precisions))
        return {name: (FLOPS | flops)[name] for name in precisions}

    monkeypatch.setattr(machine, "_measure_flops", measure)
    return measured


@pytest.fixture
def idle_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements.os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def cpu_with_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "with_bf16").write_text("flags\t\t: fpu avx512_bf16\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "with_bf16")


@pytest.mark.usefixtures("idle_cpu", "cpu_with_bf16")
@pytest.mark.parametrize(("bf16", "dtype"), [(2.0e12, torch.bfloat16), (1.3e12, torch.float32)])
def test_bf16_is_chosen_only_where_it_is_clearly_faster(
    bf16: float, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = count_measurements(monkeypatch, bf16=bf16)
    chosen = choose_machine("cpu")
    assert chosen.dtype == dtype and chosen.peak_flops == (bf16 if dtype == torch.bfloat16 else 1e12)
    assert f"{bf16 / 1e12:.2f} TFLOP/s in bf16 and 1.00 in fp32" in chosen.description
    assert choose_machine("cpu", "bf16").peak_flops == bf16 and measured == [BOTH]


@pytest.mark.usefixtures("idle_cpu")
def test_only_what_is_used_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = count_measurements(monkeypatch)
    (tmp_path / "avx2").write_text("flags\t\t: fpu avx2\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "avx2")
    chosen = choose_machine("cpu")
    assert chosen.dtype == torch.float32 and chosen.description == "fp32 on cpu, which has no bf16 instructions"
    assert choose_machine("cpu", "fp32").dtype == torch.float32 and choose_machine("cpu", "bf16").dtype == torch.bfloat16
    assert measured == []
    assert chosen.peak_flops == 1e12 and measured == [("fp32",)]


def test_the_measurement_takes_no_longer_than_its_limit() -> None:
    begin = time.perf_counter()
    flops = matmul_flops("cpu", BOTH)
    assert time.perf_counter() - begin < 10 * MAX_MEASURE_SECONDS  # the machine may be busy
    assert all(flops[name] > 0 for name in BOTH)


@pytest.mark.parametrize("speed", [1e6, 1e7, 1e9])
def test_emulated_bf16_stays_within_the_limit(speed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def emulate(a: torch.Tensor, b: torch.Tensor) -> float:
        seconds = 2 * len(a) ** 3 / (speed if a.dtype == torch.bfloat16 else 200e9)
        clock[0] += seconds
        return seconds

    monkeypatch.setattr(machine, "_time_product", emulate)
    set_clock(monkeypatch, machine, perf_counter=lambda: clock[0])
    flops = machine._measure_flops("cpu", BOTH)
    assert flops == pytest.approx({"bf16": speed, "fp32": 200e9}) and clock[0] <= 1.5 * MAX_MEASURE_SECONDS


def test_a_slow_dtype_is_measured_on_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    largest = {torch.bfloat16: 0, torch.float32: 0}

    def emulate(a: torch.Tensor, b: torch.Tensor) -> float:
        """1 GFLOP/s in bf16, as processors without instructions for it have, and 200 in fp32."""
        seconds = 2 * len(a) ** 3 / (1e9 if a.dtype == torch.bfloat16 else 200e9)
        largest[a.dtype] = max(largest[a.dtype], len(a))
        clock[0] += seconds
        return seconds

    monkeypatch.setattr(machine, "_time_product", emulate)
    set_clock(monkeypatch, machine, perf_counter=lambda: clock[0])
    flops = machine._measure_flops("cpu", BOTH)
    assert flops == pytest.approx({"bf16": 1e9, "fp32": 200e9})
    assert largest[torch.bfloat16] <= 256 and largest[torch.float32] >= 512
    assert clock[0] < 1.2 * MAX_MEASURE_SECONDS


def test_a_busy_cpu_is_measured_on_one_thread_and_not_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    num_threads: list[int] = []

    def measure(device: str, precisions: Sequence[str]) -> dict[str, float]:
        num_threads.append(torch.get_num_threads())
        return FLOPS

    monkeypatch.setattr(machine, "_measure_flops", measure)
    monkeypatch.setattr(measurements.os, "getloadavg", lambda: (99.0, 0.0, 0.0))
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert matmul_flops("cpu", BOTH) == {"bf16": 6e12, "fp32": 2e12}
        assert num_threads == [1] and torch.get_num_threads() == 2 and not measurements._cache_file("products").exists()
    finally:
        torch.set_num_threads(before)


def test_one_disturbed_product_does_not_end_the_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    disturbances = iter([0.02])

    def emulate(a: torch.Tensor, b: torch.Tensor) -> float:
        seconds = 2 * len(a) ** 3 / 200e9 + (next(disturbances, 0.0) if clock[0] else 0.0)
        clock[0] += seconds
        return seconds

    monkeypatch.setattr(machine, "_time_product", emulate)
    set_clock(monkeypatch, machine, perf_counter=lambda: clock[0])
    flops = machine._measure_flops("cpu", ("fp32",))
    assert flops["fp32"] == pytest.approx(200e9)


@pytest.mark.usefixtures("idle_cpu")
def test_a_cpu_is_measured_once_for_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = count_measurements(monkeypatch)
    assert matmul_flops("cpu", BOTH) == matmul_flops("cpu", BOTH)
    matmul_flops.cache_clear()  # as in a new process
    assert matmul_flops("cpu", BOTH) == matmul_flops("cpu", ("bf16",)) == FLOPS and measured == [BOTH]
    matmul_flops.cache_clear()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    matmul_flops("cpu", ("fp32",))
    assert measured == [BOTH, ("fp32",)]
    matmul_flops("cpu", BOTH)
    assert json.loads(measurements._cache_file("products").read_text()) == FLOPS


def see_gpus(monkeypatch: pytest.MonkeyPatch, kind: str, count: int) -> None:
    """Let torch see GPUs."""
    gpu = torch.device(kind) if kind else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: gpu)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


@pytest.mark.parametrize(
    ("device", "kind", "count", "chosen"),
    [
        ("auto", "", 0, "cpu"),
        ("cpu", "cuda", 1, "cpu"),
        ("auto", "cuda", 2, "cuda"),
        ("auto", "mps", 1, "mps"),
        ("auto", "xpu", 1, "cpu"),
        ("cuda:1", "cuda", 2, "cuda:1"),
        ("mps", "mps", 1, "mps"),
    ],
)
def test_a_device_that_exists_is_chosen(
    device: str, kind: str, count: int, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_gpus(monkeypatch, kind, count)
    assert choose_device(device) == chosen


@pytest.mark.parametrize(
    ("device", "kind", "count", "message"),
    [
        ("cuda:1", "", 0, "device='cuda:1', but torch sees no GPU here: use --device cpu"),
        ("mps", "", 0, "device='mps', but torch sees no GPU here: use --device cpu"),
        ("mps", "cuda", 1, "device='mps', but torch sees no such GPU here: use --device cpu"),
        ("cuda", "mps", 1, "device='cuda', but torch sees no such GPU here: use --device cpu"),
        ("cuda:2", "cuda", 2, "device='cuda:2', but torch sees 2 GPUs here: use --device cuda"),
        ("mps:1", "mps", 1, "device='mps:1', but torch sees 1 GPU here: use --device mps"),
        *((name, "cuda", 1, f"device='{name}' is not a device") for name in ("gpu", "", "cuda:x", "meta", "xpu", "CPU")),
    ],
)
def test_a_missing_device_is_an_error(
    device: str, kind: str, count: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_gpus(monkeypatch, kind, count)
    with pytest.raises(UserError, match=re.escape(message)):
        choose_device(device)


def test_free_memory_honors_control_groups(tmp_path: Path) -> None:
    assert 0 < free_memory(CPU) < 2**50
    group = tmp_path / "outer" / "inner"
    group.mkdir(parents=True)
    for folder, limit in ((group, "max"), (group.parent, "1000000")):
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.current").write_text("700000\n")
        (folder / "memory.stat").write_text("anon 400000\ninactive_file 300000\n")
    membership = tmp_path / "cgroup"
    membership.write_text("0::/outer/inner\n")
    assert machine._free_in_control_groups(tmp_path, membership) == [600_000]
    assert machine._free_in_control_groups(tmp_path, tmp_path / "missing") == []
