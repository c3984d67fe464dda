"""The processor as /proc/cpuinfo describes it."""

from pathlib import Path

import pytest

from lmcraft import processor
from lmcraft.processor import cpu_name, has_bf16, instruction_sets, physical_cores, usable_cpus

TWO_THREADS_PER_CORE = """processor\t: 0
model name\t: A CPU
flags\t\t: fpu avx2 fma f16c avx_vnni
physical id\t: 0
core id\t\t: {cores[0]}

processor\t: 1
model name\t: A CPU
flags\t\t: fpu avx2 fma f16c avx_vnni
physical id\t: 0
core id\t\t: {cores[1]}
"""


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", True),
        ("flags\t\t: fpu avx2 amx_bf16", True),
        ("flags\t\t: fpu avx2 avx512f", False),
        ("Features\t: fp asimd bf16", True),
        ("Features\t: fp asimd", False),
        ("Processor\t: unknown", True),
    ],
)
def test_bf16_instructions_are_read_from_the_processors_flags(
    flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{flags}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert has_bf16() is expected
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "missing")
    assert has_bf16()


@pytest.mark.parametrize("cores", [(0, 0), (0, 1)])
def test_threads_of_one_core_are_not_two_cores(
    cores: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(TWO_THREADS_PER_CORE.format(cores=cores))
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    assert physical_cores() == len(set(cores)) and cpu_name() == "A CPU"
    assert instruction_sets() == ["AVX2", "FMA", "F16C", "AVX-VNNI"]


def test_systems_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "missing")
    assert physical_cores() == 0 and instruction_sets() == [] and cpu_name() and usable_cpus() >= 1
