"""Q4_K, Q5_K and Q6_K: their bytes are what the `gguf` package reads, and the error is that of llama.cpp."""

from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.gguf.k_quants import K_QUANTS, quantize_k

gguf = pytest.importorskip("gguf")

# Root mean squared errors relative to the numbers', of llama.cpp's `ggml_quantize_chunk` on the same numbers.
LLAMA_CPP = {"Q4_K": {"normal": 0.0713, "heavy": 0.0933}, "Q5_K": {"normal": 0.0361, "heavy": 0.0470}}
LLAMA_CPP["Q6_K"] = {"normal": 0.0178, "heavy": 0.0256}


def numbers(kind: str) -> Any:
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((512, 1024))
    values = normal if kind == "normal" else rng.standard_t(3, (512, 1024))
    return torch.from_numpy((values * 0.02).astype(np.float32))


def dequantized(data: Any, kind: str) -> Any:
    return torch.from_numpy(np.asarray(gguf.dequantize(data, gguf.GGMLQuantizationType[kind])).copy())


@pytest.mark.parametrize("distribution", ["normal", "heavy"])
@pytest.mark.parametrize("kind", K_QUANTS)
def test_the_error_is_that_of_llama_cpp(kind: str, distribution: str) -> None:
    expected = numbers(distribution)
    data = quantize_k("x", expected, kind)
    assert data.shape == (512, 1024 // 256 * gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1])
    error = (dequantized(data, kind) - expected).norm() / expected.norm()
    assert float(error) < 1.015 * LLAMA_CPP[kind][distribution]


@pytest.mark.parametrize("kind", K_QUANTS)
def test_odd_blocks(kind: str) -> None:
    """Zeros, one number, constants of either sign, tiny and subnormal numbers, and a stack of experts."""
    rows = torch.zeros(7, 256)
    rows[1, 77] = 3.0
    rows[2], rows[3] = 0.5, -0.5
    rows[4], rows[5] = 1e-30, torch.linspace(-1, 1, 256)
    rows[6] = torch.linspace(1, 2, 256)
    result = dequantized(quantize_k("x", rows, kind), kind)
    assert bool(result.isfinite().all()) and not result[0].any() and not result[4].any()
    torch.testing.assert_close(result[[1, 2, 3, 5, 6]], rows[[1, 2, 3, 5, 6]], atol=0.04, rtol=0.04)
    stacked = quantize_k("x", rows.expand(2, 7, 256), kind)
    assert stacked.shape[:2] == (2, 7) and (stacked[1] == quantize_k("x", rows, kind)).all()


@pytest.mark.parametrize("kind", K_QUANTS)
@pytest.mark.parametrize("number", [1e9, float("inf"), float("nan")])
def test_numbers_that_do_not_fit_are_errors(kind: str, number: float) -> None:
    with pytest.raises(UserError, match=f"'blk.0.x' has numbers that {kind} cannot hold"):
        quantize_k("blk.0.x", torch.full((1, 256), number), kind)
