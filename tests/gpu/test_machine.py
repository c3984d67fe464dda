"""What lmcraft says about a GPU."""

from pathlib import Path

import pytest
import torch

from lmcraft.machine import choose_machine, free_memory, machine_name, peak_memory, total_memory

pytestmark = pytest.mark.gpu


def test_a_gpu_is_measured_in_each_process(real_gpu: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path))
    chosen = choose_machine("auto")
    assert chosen.device == real_gpu and chosen.peak_flops > 1e11
    assert not any(tmp_path.iterdir())


def test_memory_is_that_of_the_gpu(real_gpu: torch.device) -> None:
    assert 0 < free_memory(real_gpu) <= total_memory(real_gpu) and machine_name(real_gpu)
    tensor = torch.zeros(2**28, dtype=torch.uint8, device=real_gpu)
    assert tensor.sum() == 0 and peak_memory(real_gpu) >= 2**28
