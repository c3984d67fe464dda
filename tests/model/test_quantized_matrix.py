"""Quantization to 8 and 4 bits: error bounds, and the tensors of a model folder."""

import pytest
import torch

from lmcraft.model.quantized_matrix import (
    quantization_config,
    quantize_groups,
    quantize_rows,
    to_tensors,
)
from tests.model.quantized_checkpoints.reading import open_matrices


def test_8_bits_are_within_half_a_step_of_each_row() -> None:
    weight = torch.randn(6, 64) * torch.logspace(-3, 3, 6)[:, None]
    weight[2] = 0
    quantized = quantize_rows(weight)
    assert ((quantized.dequantize() - weight).abs() <= quantized.scales / 2 + 1e-9).all()
    assert quantized.numbers.dtype == torch.int8 and quantized.scales.shape == (6, 1)


def test_4_bits_use_all_levels_and_lose_little() -> None:
    weight = torch.randn(16, 96)
    quantized = quantize_groups(weight)
    assert quantized.scales.shape == (16, 3) and quantized.numbers.unique().tolist() == list(range(-8, 8))
    assert ((quantized.dequantize() - weight).norm() / weight.norm()).item() < 0.12


def test_shifted_groups_hold_weights_that_lie_on_16_levels() -> None:
    levels = torch.randint(0, 16, (8, 96)).view(8, 3, 32)
    levels[..., :2] = torch.tensor([0, 15])
    weight = (levels * torch.rand(8, 3, 1).half().float() - torch.rand(8, 3, 1).half().float()).flatten(1)
    quantized = quantize_groups(weight, shifted=True)
    torch.testing.assert_close(quantized.dequantize(), weight, rtol=2e-3, atol=2e-3)
    tensors = to_tensors("up.weight", quantized) | to_tensors("embed.weight", quantize_rows(weight))
    reader = open_matrices(quantization_config(4, ["gate"], ["embed"], own=True), tensors)
    assert torch.equal(reader.read("up.weight"), quantized.dequantize())
    assert torch.equal(reader.read("embed.weight"), quantize_rows(weight).dequantize())


@pytest.mark.parametrize(("bits", "columns"), [(8, 64), (8, 61), (4, 64)])
def test_stored_tensors_round_trip(bits: int, columns: int) -> None:
    quantized = (quantize_rows if bits == 8 else quantize_groups)(torch.randn(8, columns))
    reader = open_matrices(quantization_config(quantized.bits), to_tensors("up.weight", quantized))
    restored = reader.read_quantized("up.weight")
    assert restored is not None and restored.bits == quantized.bits
    assert torch.equal(restored.numbers, quantized.numbers) and torch.equal(restored.scales, quantized.scales)
