"""Quantization to 8 and 4 bits: error bounds, and the tensors of a model folder."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.model.quantized_matrix import (
    from_tensors,
    names_in_8_bits,
    quantization_bits,
    quantization_config,
    quantize_groups,
    quantize_rows,
    to_tensors,
)


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
    tensors = to_tensors("weight", quantized)
    assert torch.equal(from_tensors("weight", 4, tensors.__getitem__, shifted=True).dequantize(), quantized.dequantize())
    config = quantization_config(4, ["gate"], ["embed"], own=True)
    assert quantization_bits({"quantization_config": config}) == 4
    assert names_in_8_bits({"quantization_config": config}) == ["embed"]


@pytest.mark.parametrize(("bits", "columns"), [(8, 64), (8, 61), (4, 64)])
def test_stored_tensors_round_trip(bits: int, columns: int) -> None:
    quantized = (quantize_rows if bits == 8 else quantize_groups)(torch.randn(8, columns))
    tensors = to_tensors("weight", quantized)
    restored = from_tensors("weight", quantized.bits, tensors.__getitem__)
    assert torch.equal(restored.numbers, quantized.numbers) and torch.equal(restored.scales, quantized.scales)
    assert quantization_bits({"quantization_config": quantization_config(quantized.bits)}) == bits


def test_other_formats_are_rejected() -> None:
    assert quantization_bits({}) is None
    with pytest.raises(UserError, match=r"quantization_config '3' is not supported"):
        quantization_bits({"quantization_config": 3})
    with pytest.raises(UserError, match=r"quantization_config 'gptq' is not supported; use a model from `lmcraft quantize`"):
        quantization_bits({"quantization_config": {"quant_method": "gptq"}})


def test_a_setting_that_differs_is_named() -> None:
    config = quantization_config(4)
    config["config_groups"]["group_0"]["weights"]["symmetric"] = False
    message = r"'pack-quantized' with config_groups\.group_0\.weights\.symmetric=False is not supported"
    with pytest.raises(UserError, match=message):
        quantization_bits({"quantization_config": config})
    with pytest.raises(UserError, match=r"'pack-quantized' with kv_cache_scheme=fp8 is not supported"):
        quantization_bits({"quantization_config": quantization_config(8) | {"kv_cache_scheme": "fp8"}})
