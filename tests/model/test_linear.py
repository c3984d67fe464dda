"""The linear layer computes in its input's dtype."""

import torch

from lmcraft.model.linear import Linear


def test_float32_weights_compute_in_the_dtype_of_the_input() -> None:
    layer, x = Linear(8, 4), torch.randn(3, 8, dtype=torch.bfloat16)
    y = layer(x)
    assert y.dtype == torch.bfloat16 and layer.weight.dtype == torch.float32
    y.sum().backward()
    assert layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
