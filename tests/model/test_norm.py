"""Norms against their definition, gradients included."""

import pytest
import torch
from torch import Tensor

from lmcraft.model.norm import RMSNorm


def rms_norm_formula(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_rms_norm_and_its_gradients_match_the_formula(dtype: torch.dtype, close: float) -> None:
    norm = RMSNorm(24, eps=1e-2)
    torch.nn.init.normal_(norm.weight)
    x, grad = torch.randn(3, 5, 24).to(dtype).requires_grad_(), torch.randn(3, 5, 24).to(dtype)
    exact_x, exact_weight = x.detach().double().requires_grad_(), norm.weight.detach().double().requires_grad_()
    normed = norm(x)
    exact = rms_norm_formula(exact_x, exact_weight, norm.eps)
    assert normed.dtype == dtype
    normed.backward(grad)
    exact.backward(grad.double())
    for ours, theirs in ((normed, exact), (x.grad, exact_x.grad), (norm.weight.grad, exact_weight.grad)):
        assert ours is not None and theirs is not None
        assert ((ours.double() - theirs).norm() / theirs.norm()).item() < close


def test_rms_norm_leaves_its_input_alone() -> None:
    norm, x = RMSNorm(8, eps=1e-6), torch.randn(2, 8, requires_grad=True)
    before = x.detach().clone()
    norm(x).sum().backward()
    assert torch.equal(x, before)
