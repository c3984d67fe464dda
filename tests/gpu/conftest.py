"""The GPU of these tests: a real one, or the simulated one if this environment variable is set."""

import os

import pytest
import torch

from lmcraft import machine

SIMULATED_GPU_VARIABLE = "LMCRAFT_TEST_SIMULATED_GPU"

if os.environ.get(SIMULATED_GPU_VARIABLE) and not machine.gpu_kind():
    from tests.gpu import simulated

    simulated.install()
    machine.GPU_KINDS = (*machine.GPU_KINDS, simulated.KIND)
    machine._gpu_memory = lambda device: (2**30, 2**31)


@pytest.fixture
def gpu() -> torch.device:
    """The GPU that torch sees."""
    if not (kind := machine.gpu_kind()):
        pytest.skip("torch sees no GPU here")
    return torch.device(kind)


@pytest.fixture
def real_gpu(gpu: torch.device) -> torch.device:
    """For what the simulated GPU cannot show."""
    if gpu.type == "simulated":
        pytest.skip("needs a real GPU")
    return gpu
