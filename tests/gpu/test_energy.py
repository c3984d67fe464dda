"""What NVML says of a real GPU, and whom it belongs to."""

import time

import pytest
import torch

from lmcraft.energy.meter import make_meter

pytestmark = pytest.mark.gpu


def test_the_gpu_of_this_process_is_measured(real_gpu: torch.device) -> None:
    if real_gpu.type != "cuda" or torch.version.hip:
        pytest.skip("needs an NVIDIA GPU")
    meter = make_meter()
    matrix = torch.randn(4096, 4096, device=real_gpu)
    meter.read()
    time.sleep(1.1)  # until it asks who uses the GPUs
    meter.read()
    since = meter.read()
    end = time.monotonic() + 3
    while time.monotonic() < end:
        matrix @ matrix
        torch.cuda.synchronize()
    energy = meter.energy(since)
    gpu = energy.parts["gpu"]
    assert gpu.method == "nvml" and gpu.low < gpu.joules < gpu.high
    assert 30 < gpu.joules / energy.seconds < 1500, "watts of a busy GPU"
    assert "NVML" in meter.describe() and meter.method.startswith("nvml + ")
