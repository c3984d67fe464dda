"""These tests on a simulated GPU, in a process of their own: it sees the GPU in everything that torch does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.machine import gpu_kind
from tests.gpu.conftest import SIMULATED_GPU_VARIABLE


@pytest.mark.slow
@pytest.mark.skipif(bool(gpu_kind()), reason="there is a GPU")
def test_they_pass_on_a_simulated_gpu() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", str(Path(__file__).parent)]
    environment = os.environ | {SIMULATED_GPU_VARIABLE: "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1800)
    assert result.returncode == 0 and " passed" in result.stdout, result.stdout[-5000:]
