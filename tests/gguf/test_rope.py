"""Rotary scaling in GGUF files: Llama 3's parameters from its factors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.gguf.container import GGUFFile
from lmcraft.gguf.hf_config import read_config
from lmcraft.gguf.rope import LLAMA3_FACTORS, llama3_factors, recover_llama3_scaling


@pytest.mark.parametrize(
    ("theta", "dim", "factor", "low", "high", "original"),
    [
        (500000.0, 128, 8.0, 1.0, 4.0, 8192),  # Llama 3.1
        (500000.0, 64, 32.0, 1.0, 4.0, 8192),  # Llama 3.2 1B
        (500000.0, 128, 16.0, 1.0, 1.5, 4096),
        (10000.0, 128, 4.0, 1.0, 8.0, 3000),
        (10000.0, 8, 4.0, 1.0, 4.0, 32),
    ],
)
def test_llama3_parameters_are_recovered_from_the_factors(
    theta: float, dim: int, factor: float, low: float, high: float, original: int, tmp_path: Path
) -> None:
    factors = llama3_factors(theta, dim, factor, low, high, original)
    scaling = recover_llama3_scaling(factors.double().numpy(), theta, dim, tmp_path)
    again = llama3_factors(
        theta,
        dim,
        *(scaling[key] for key in ("factor", "low_freq_factor", "high_freq_factor")),
        scaling["original_max_position_embeddings"],
    )
    torch.testing.assert_close(again, factors, rtol=1e-4, atol=0)
    if dim >= 64:
        assert list(scaling.values()) == ["llama3", factor, low, high, original]


def test_unknown_factors_are_rejected(files: Callable[[str], GGUFFile], tmp_path: Path) -> None:
    assert recover_llama3_scaling(np.ones(32), 10000.0, 64, tmp_path) == {"rope_type": "default"}
    for factors in (np.linspace(1, 9, 32), np.linspace(9, 1, 32), np.full(32, 0.5), np.r_[np.ones(31), 1e30]):
        with pytest.raises(UserError, match=f"'{LLAMA3_FACTORS}' are not those of Llama 3"):
            recover_llama3_scaling(factors, 10000.0, 64, tmp_path)
    assert read_config(files("llama3"))["rope_scaling"]["original_max_position_embeddings"] == 8192
