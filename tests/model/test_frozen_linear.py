"""Quantized frozen layers."""

import pytest
import torch

from lmcraft.model.frozen_linear import FrozenLinear
from lmcraft.model.linear import Linear
from lmcraft.model.quantized_matrix import Bits, quantize_groups, quantize_rows


@pytest.mark.parametrize("bits", [8, 4])
def test_the_product_and_its_gradient_use_the_dequantized_matrix(bits: Bits) -> None:
    linear = Linear(64, 24)
    layer = FrozenLinear(linear, bits)
    weight = (quantize_rows if bits == 8 else quantize_groups)(linear.weight.detach()).dequantize()
    assert torch.equal(layer.weight, weight) and layer.numbers.numel() == 64 * 24 * bits // 8
    x = torch.randn(5, 64, requires_grad=True)
    y = layer(x)
    torch.testing.assert_close(y, x @ weight.T + linear.bias)
    y.sum().backward()
    torch.testing.assert_close(x.grad, weight.sum(0).expand(5, 64))
    assert [name for name, _ in layer.named_parameters()] == ["bias"]
